#!/bin/sh
# Writes size_classes.csv: how many packages are below 16 KiB, 32 KiB, 64 KiB and so on.
set -eu
cd "$TIDEMILL_RUN_DIR"
awk -F '\t' '
  {
    class = 0; limit = 16
    while ($4 >= limit && class < 16) { class++; limit *= 2 }
    count[class]++; kib[class] += $4
    if (class > last) last = class
  }
  END {
    print "below_kib,packages,kib"
    for (class = 0; class <= last; class++) {
      printf "%.0f,%d,%.0f\n", (class == 16 ? -1 : 16 * 2 ^ class), count[class], kib[class]
    }
  }
' packages.tsv > size_classes.csv
echo "$(($(wc -l < size_classes.csv) - 1)) classes"
