#!/bin/sh
# Writes by_section.csv: section, packages, KiB; the largest section first.
set -eu
cd "$TIDEMILL_RUN_DIR"
awk -F '\t' '
  { packages[$3]++; kib[$3] += $4 }
  END { for (s in packages) printf "%s\t%d\t%.0f\n", s, packages[s], kib[s] }
' packages.tsv | sort -t "$(printf '\t')" -k 3,3nr -k 1,1 > by_section.tsv
{ echo "section,packages,kib"; sed 's/"/""/g; s/^\([^	]*\)	/"\1"	/; y/	/,/' by_section.tsv; } > by_section.csv
echo "$(wc -l < by_section.tsv | tr -d ' ') sections, the largest is $(head -n 1 by_section.tsv | cut -f 1)"
