# Reads the facts twice: first all names, then the needs, each of which becomes an edge to the
# first alternative that is installed or provided by something installed.
BEGIN { FS = "\t"; OFS = "\t"; printf "" > "edges.unsorted"; printf "" > "packages.unsorted" }

NR == FNR && $1 == "P" { here[$2] = 1; print $2, $3, $4, $5 > "packages.unsorted"; next }
NR == FNR && $1 == "V" { if (!($3 in gives)) gives[$3] = $2; next }
NR == FNR { next }
$1 == "D" {
    count = split($3, choices, "|")
    for (i = 1; i <= count; i++) {
        target = ""
        if (choices[i] in here) target = choices[i]
        else if (choices[i] in gives) target = gives[choices[i]]
        if (target == "") continue
        if (target != $2) print $2, target > "edges.unsorted"
        break
    }
}
