#!/bin/sh
# Writes layout.tsv: a rectangle for each section (S) and, within it, for each package (P), the
# areas in proportion to the sizes: kind, section, package, KiB, x, y, width, height.
set -eu
cd "$TIDEMILL_RUN_DIR"
sort -t "$(printf '\t')" -k 4,4nr -k 1,1 packages.tsv | awk -F '\t' -v width=800 -v height=640 -f "$TIDEMILL_DAG_DIR/layout.awk" by_section.tsv - > layout.tsv
echo "$(grep -c '^P' layout.tsv) rectangles"
