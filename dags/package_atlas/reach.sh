#!/bin/sh
# Writes reach.csv: how many packages each one needs directly, and how many in all.
set -eu
cd "$TIDEMILL_RUN_DIR"
awk -F '\t' '
  NR == FNR { needs[$1, ++degree[$1]] = $2; next }
  {
    head = 1; tail = 1; queue[1] = $1; seen[$1] = FNR
    while (head <= tail) {
      at = queue[head++]
      for (i = 1; i <= degree[at]; i++) {
        next_one = needs[at, i]
        if (seen[next_one] != FNR) { seen[next_one] = FNR; queue[++tail] = next_one }
      }
    }
    printf "%s\t%d\t%d\n", $1, degree[$1], tail - 1
  }
' edges.tsv packages.tsv > reach.unsorted
sort -t "$(printf '\t')" -k 3,3nr -k 1,1 reach.unsorted > reach.tsv
rm -f reach.unsorted
{ echo "package,needs,needs_in_all"; awk -F '\t' '{ gsub(/"/, "\"\""); printf "\"%s\",%d,%d\n", $1, $2, $3 }' reach.tsv; } > reach.csv
awk -F '\t' 'NR == 1 { printf "%s pulls in %d packages\n", $1, $3 }' reach.tsv
