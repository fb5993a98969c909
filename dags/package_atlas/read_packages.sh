#!/bin/sh
# Reads the kept database. Writes packages.tsv (name, version, section, KiB; sorted by name) and
# edges.tsv (package, a package that it needs). Its last line is the number of packages.
set -eu
cd "$TIDEMILL_RUN_DIR"
kind=$(cat source.txt)

# Each reader prints P name version section KiB, V name provided-name, D name alternative|alternative.
awk -v kind="$kind" -f "$TIDEMILL_DAG_DIR/read_$kind.awk" input.txt > facts.tsv
awk -f "$TIDEMILL_DAG_DIR/resolve.awk" facts.tsv facts.tsv
sort -o packages.tsv packages.unsorted
sort -u -o edges.tsv edges.unsorted
rm -f facts.tsv packages.unsorted edges.unsorted
wc -l < packages.tsv | tr -d ' '
