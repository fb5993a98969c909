#!/bin/sh
# Counts the input again, by other means than the scripts that made the tables, and compares.
set -eu
cd "$TIDEMILL_RUN_DIR"
kind=$(cat source.txt)
failures=0

same() { # what, expected, found
  if [ "$2" = "$3" ]; then
    echo "ok: $1 is $2"
  else
    echo "wrong: $1 should be $2 and is $3" >&2
    failures=$((failures + 1))
  fi
}
csv_sum() { # file, column counted from the last one
  tail -n +2 "$1" | awk -F , -v back="$2" '{ sum += $(NF + 1 - back) } END { printf "%.0f", sum }'
}

case $kind in
  dpkg)
    count=$(grep -c '^Status: .* installed$' input.txt)
    kib=$(grep -e '^Status: ' -e '^Installed-Size: ' -e '^Package: ' input.txt | tr '\n' ' ' | sed 's/Package: /\
/g' | grep ' installed' | sed -n 's/.*Installed-Size: \([0-9]*\).*/\1/p' | awk '{ s += $1 } END { printf "%.0f", s }')
    ;;
  apk)
    count=$(grep -c '^P:' input.txt)
    kib=$(sed -n 's/^I://p' input.txt | awk '{ s += int($1 / 1024) } END { printf "%.0f", s }')
    ;;
  rpm)
    count=$(grep -c '^P' input.txt)
    kib=$(grep '^P' input.txt | cut -f 5 | awk '{ s += int(($1 + 1023) / 1024) } END { printf "%.0f", s }')
    ;;
  *)
    count=$(wc -l < input.txt | tr -d ' ')
    kib=$(cut -f 1 input.txt | awk '{ s += $1 } END { printf "%.0f", s }')
    ;;
esac
edges=$(wc -l < edges.tsv | tr -d ' ')

same "the number of packages" "$count" "$(wc -l < packages.tsv | tr -d ' ')"
same "the sum of packages over sections" "$count" "$(csv_sum by_section.csv 2)"
same "the sum of sizes over sections" "$kib" "$(csv_sum by_section.csv 1)"
same "the sum of sizes over packages" "$kib" "$(csv_sum largest.csv 2)"
same "the sum of packages over size classes" "$count" "$(csv_sum size_classes.csv 2)"
same "the sum of sizes over size classes" "$kib" "$(csv_sum size_classes.csv 1)"
same "the sum of being needed" "$edges" "$(csv_sum most_needed.csv 1)"
same "the sum of direct needs" "$edges" "$(csv_sum reach.csv 2)"
same "the packages that need less in all than directly" 0 "$(awk -F '\t' '$3 < $2' reach.tsv | wc -l | tr -d ' ')"
drawn=$(awk -F '\t' '$4 > 0' packages.tsv | wc -l | tr -d ' ')
same "the rectangles in the chart" "$drawn" "$(grep -c 'class="tile"' package_atlas.svg)"
same "the area of all rectangles" 512000 "$(awk -F '\t' '$1 == "P" { sum += $7 * $8 } END { off = sum - 512000; printf "%.0f", (off * off < 250000 ? 512000 : sum) }' layout.tsv)"
same "the chart's last line" "</svg>" "$(tail -n 1 package_atlas.svg)"

[ "$failures" -eq 0 ] || { echo "$failures numbers are wrong" >&2; exit 1; }
echo "$count packages, $kib KiB, $edges needs: all numbers agree"
