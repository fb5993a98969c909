# apk's list of installed packages: paragraphs of "X:value". It has no sections, so packages that
# were built from the same source stand together.
BEGIN { FS = "\n"; RS = ""; OFS = "\t" }

function field(letter,   i) {
    for (i = 1; i <= NF; i++)
        if (index($i, letter ":") == 1) return substr($i, 3)
    return ""
}

{
    name = field("P")
    if (name == "") next
    origin = field("o")
    print "P", name, field("V"), (origin == "" ? "other" : origin), int(field("I") / 1024)
    count = split(field("p"), words, / +/)
    for (i = 1; i <= count; i++) {
        sub(/[<>=~].*/, "", words[i])
        if (words[i] != "") print "V", name, words[i]
    }
    count = split(field("D"), words, / +/)
    for (i = 1; i <= count; i++) {
        sub(/[<>=~].*/, "", words[i])
        if (words[i] != "" && words[i] !~ /^!/) print "D", name, words[i]
    }
}
