# The answer of one rpm query, which has the wanted form already but for sizes and empty groups.
# A package may be installed in several versions; they count as one name each.
BEGIN { FS = "\t"; OFS = "\t" }

$1 == "P" {
    name = $2
    if (name in seen) name = name "-" $3
    if (name in seen) name = name "." NR
    seen[name] = 1
    section = tolower($4)
    sub(/^.*\//, "", section)
    if (section == "" || section == "(none)" || section == "unspecified") section = "other"
    print "P", name, $3, section, int(($5 + 1023) / 1024)
    next
}
$3 != "" && $3 != "(none)" { print $1, name, $3 }
