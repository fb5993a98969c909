#!/bin/sh
# Writes most_needed.csv: how many packages need each package directly.
set -eu
cd "$TIDEMILL_RUN_DIR"
cut -f 2 edges.tsv | sort | uniq -c | awk '{ printf "%s\t%d\n", $2, $1 }' |
  sort -t "$(printf '\t')" -k 2,2nr -k 1,1 > most_needed.tsv
{ echo "package,needed_by"; awk -F '\t' '{ gsub(/"/, "\"\""); printf "\"%s\",%d\n", $1, $2 }' most_needed.tsv; } > most_needed.csv
awk -F '\t' 'NR == 1 { printf "%s is needed by %d others\n", $1, $2; found = 1 } END { if (!found) print "nothing needs anything" }' most_needed.tsv
