#!/bin/sh
# Finds the package database and keeps what this run will read, so that an installation that
# happens meanwhile cannot make the numbers disagree. Writes: source.txt, machine.txt, input.*
set -eu
cd "$TIDEMILL_RUN_DIR"
root=${ATLAS_ROOT:-}

if [ -s "$root/var/lib/dpkg/status" ]; then
  kind=dpkg
  cp "$root/var/lib/dpkg/status" input.txt
elif [ -s "$root/lib/apk/db/installed" ]; then
  kind=apk
  cp "$root/lib/apk/db/installed" input.txt
elif [ -z "${ATLAS_ROOT:-}" ] && command -v rpm >/dev/null 2>&1 && [ -n "$(rpm -qa | head -n 1)" ]; then
  kind=rpm
  # One snapshot answers everything that is asked later.
  rpm -qa --qf 'P\t%{NAME}\t%{VERSION}\t%{GROUP}\t%{SIZE}\n[V\t%{NAME}\t%{PROVIDENAME}\n][D\t%{NAME}\t%{REQUIRENAME}\n]' > input.txt
else
  kind=folders
  # A line per folder of /usr/share: its size in KiB, a tab, its path.
  for folder in "$root"/usr/share/*/; do
    [ -d "$folder" ] || continue
    du -sk "${folder%/}" 2>/dev/null || true
  done > input.txt
fi
[ -s input.txt ] || { echo "no package database and nothing under /usr/share: nothing to draw" >&2; exit 1; }
echo "$kind" > source.txt

name=$(uname -s)
for file in "$root/etc/os-release" "$root/usr/lib/os-release"; do
  if [ -r "$file" ]; then
    name=$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$file" | head -n 1)
    break
  fi
done
printf '%s\n' "${name:-Linux}" > machine.txt
echo "$kind, $(wc -c < input.txt | tr -d ' ') bytes"
