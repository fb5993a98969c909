# dpkg's status file: paragraphs of "Field: value".
BEGIN { FS = "\n"; RS = ""; OFS = "\t" }

function field(name,   i) {
    for (i = 1; i <= NF; i++)
        if (index($i, name ": ") == 1) return substr($i, length(name) + 3)
    return ""
}

{
    if (field("Status") !~ / installed$/) next
    name = field("Package")
    if (name in seen) name = name ":" field("Architecture")
    seen[name] = 1
    section = field("Section")
    sub(/^.*\//, "", section)
    print "P", name, field("Version"), (section == "" ? "other" : section), field("Installed-Size") + 0
    count = split(field("Provides"), words, /, */)
    for (i = 1; i <= count; i++) {
        sub(/ .*/, "", words[i])
        if (words[i] != "") print "V", name, words[i]
    }
    count = split(field("Pre-Depends") ", " field("Depends"), words, /, */)
    for (i = 1; i <= count; i++) {
        need = words[i]
        gsub(/\([^)]*\)/, "", need)
        gsub(/:[a-z0-9]+/, "", need)
        gsub(/[ \t]/, "", need)
        if (need != "") print "D", name, need
    }
}
