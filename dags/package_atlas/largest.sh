#!/bin/sh
# Writes largest.csv: every package by size, with the share of the whole that it and all larger
# ones make up.
set -eu
cd "$TIDEMILL_RUN_DIR"
sort -t "$(printf '\t')" -k 4,4nr -k 1,1 packages.tsv > by_size.tsv
awk -F '\t' '
  NR == FNR { total += $4; next }
  FNR == 1 { print "rank,package,version,section,kib,share_so_far" }
  {
    gsub(/"/, "\"\"")
    sum += $4
    printf "%d,\"%s\",\"%s\",\"%s\",%.0f,%.4f\n", FNR, $1, $2, $3, $4, (total > 0 ? sum / total : 0)
  }
' by_size.tsv by_size.tsv > largest.csv
awk -F '\t' 'NR == 1 { printf "the largest is %s with %.1f MiB\n", $1, $4 / 1024 }' by_size.tsv
