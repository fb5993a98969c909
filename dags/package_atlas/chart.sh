#!/bin/sh
# Joins all tables into package_atlas.svg, which appears whole or not at all.
set -eu
cd "$TIDEMILL_RUN_DIR"
awk -F '\t' \
  -v kind="$(cat source.txt)" -v machine="$(cat machine.txt)" -v day="${TIDEMILL_DS:-}" -v packages="$PACKAGES" \
  -f "$TIDEMILL_DAG_DIR/chart.awk" layout.tsv most_needed.tsv reach.tsv size_classes.csv > package_atlas.svg.new
mv package_atlas.svg.new package_atlas.svg
echo "$TIDEMILL_RUN_DIR/package_atlas.svg"
