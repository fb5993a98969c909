# Draws the atlas: a treemap of sizes, the packages that most others need, and the size classes.
function xml(text) {
    gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text); gsub(/"/, "\\&quot;", text)
    return text
}
function human(kib) {
    if (kib >= 1048576) return sprintf("%.1f GiB", kib / 1048576)
    if (kib >= 1024) return sprintf("%.0f MiB", kib / 1024)
    return sprintf("%d KiB", kib)
}
function text(x, y, class, words) { printf "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">%s</text>\n", x, y, class, xml(words) }
function fits(words, width, size) { return length(words) * size * 0.56 <= width - 6 }
# The words, or as much of them as a box shows; nothing where that would not say anything.
function short(words, width,   room) {
    if (fits(words, width, 11)) return words
    room = int((width - 6) / 6.2) - 1
    return room >= 7 ? substr(words, 1, room) "…" : ""
}
function nice(most,   step) {
    step = 1
    while (most / step > 5) {
        if (most / (step * 2) <= 5) return step * 2
        if (most / (step * 5) <= 5) return step * 5
        step *= 10
    }
    return step
}

BEGIN {
    colours = split("#3b6ea5 #5b9a8b #c98b3c #8a6fa8 #b5575c #6b8f3c #4d8fb8 #a8763e #7d8597 #c27ba0 #4f7f6f #9a8c3a", colour, " ")
}
FILENAME == "layout.tsv" {
    n++
    what[n] = $1; section[n] = $2; name[n] = $3; kib[n] = $4; x[n] = $5; y[n] = $6; w[n] = $7; h[n] = $8
    if ($1 == "S") { total += $4; top[$2] = $6; if (!($2 in tint)) tint[$2] = colour[(tints++ % colours) + 1] }
    next
}
FILENAME == "most_needed.tsv" { if (needed < 14) { needed++; need_name[needed] = $1; need_count[needed] = $2 } next }
FILENAME == "reach.tsv" { if (reached++ == 0) { reach_name = $1; reach_count = $3 } next }
FILENAME == "size_classes.csv" {
    if (FNR == 1) next
    split($0, cell, ",")
    classes++; below[classes] = cell[1]; class_count[classes] = cell[2]
    if (cell[2] > most) most = cell[2]
}

function treemap(   i) {
    print "<g transform=\"translate(40 112)\">"
    for (i = 1; i <= n; i++) if (what[i] == "P") tile(i)
    for (i = 1; i <= n; i++) if (what[i] == "S") frame(i)
    print "</g>"
}
function tile(i,   shade, label) {
    shade = 0.72 + 0.28 * ((i * 7) % 5) / 4
    printf "<rect class=\"tile\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\" fill-opacity=\"%.2f\"><title>%s: %s</title></rect>\n", x[i], y[i], w[i], h[i], tint[section[i]], shade, xml(name[i]), human(kib[i])
    label = short(name[i], w[i])
    if (h[i] >= 30 && y[i] + h[i] - top[section[i]] > 44 && label != "") {
        text(x[i] + 5, y[i] + h[i] - 8, "name", label)
        if (h[i] >= 56) text(x[i] + 5, y[i] + h[i] - 22, "size", human(kib[i]))
    }
}
function frame(i,   label) {
    printf "<rect class=\"frame\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>\n", x[i], y[i], w[i], h[i]
    label = section[i] "  " human(kib[i])
    if (!fits(label, w[i], 13)) label = section[i]
    if (h[i] >= 60 && fits(label, w[i], 13)) text(x[i] + 6, y[i] + 17, "section", label)
}
function bars(   i, wide, step, tick, first) {
    text(890, 132, "panel", "Most needed packages")
    if (needed == 0) { text(890, 160, "axis", "This machine's database names no needs."); return }
    wide = 190; first = 148; step = nice(need_count[1])
    for (tick = 0; tick <= need_count[1]; tick += step) {
        printf "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n", 1030 + wide * tick / need_count[1], first, 1030 + wide * tick / need_count[1], first + needed * 18
        text(1030 + wide * tick / need_count[1], first + needed * 18 + 15, "tick middle", tick)
    }
    for (i = 1; i <= needed; i++) {
        text(1022, first + i * 18 - 5, "label end", length(need_name[i]) > 20 ? substr(need_name[i], 1, 19) "…" : need_name[i])
        printf "<rect x=\"1030\" y=\"%d\" width=\"%.1f\" height=\"12\" rx=\"2\" fill=\"#3b6ea5\"/>\n", first + i * 18 - 15, wide * need_count[i] / need_count[1]
        text(1036 + wide * need_count[i] / need_count[1], first + i * 18 - 5, "tick", need_count[i])
    }
    text(1030 + wide / 2, first + needed * 18 + 32, "axis middle", "packages that need it directly")
}
function histogram(   i, left, base, tall, each, step, tick) {
    left = 930; base = 690; tall = 180; each = 310 / (classes > 0 ? classes : 1); step = nice(most)
    text(890, base - tall - 26, "panel", "How large packages are")
    for (tick = 0; tick <= most; tick += step) {
        printf "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n", left, base - tall * tick / most, left + 310, base - tall * tick / most
        text(left - 6, base - tall * tick / most + 4, "tick end", tick)
    }
    for (i = 1; i <= classes; i++) {
        printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\" fill=\"#5b9a8b\"><title>%d packages</title></rect>\n", left + (i - 1) * each + 1.5, base - tall * class_count[i] / most, each - 3, tall * class_count[i] / most, class_count[i]
        if (i < classes && (i % 3 == 0)) text(left + i * each, base + 15, "tick middle", human(below[i]))
    }
    printf "<line class=\"rule\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", left, base, left + 310, base
    text(left + 155, base + 34, "axis middle", "installed size (each class is twice the one before)")
    printf "<text class=\"axis middle\" transform=\"translate(%d %d) rotate(-90)\">packages</text>\n", left - 34, base - tall / 2
}

END {
    noun = kind == "folders" ? "folders of /usr/share" : "packages"
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1280 800\" width=\"1280\" height=\"800\" font-family=\"system-ui, 'Helvetica Neue', 'DejaVu Sans', sans-serif\">"
    print "<style>.title{font-size:26px;font-weight:600;fill:#1d2733}.lead{font-size:14px;fill:#56616f}.panel{font-size:15px;font-weight:600;fill:#1d2733}.tile{stroke:#fff;stroke-width:.6}.frame{fill:none;stroke:#fff;stroke-width:2.4}.section{font-size:13px;font-weight:600;fill:#fff;paint-order:stroke;stroke:#00000040;stroke-width:2px}.name{font-size:11px;fill:#fff}.size{font-size:10px;fill:#ffffffcc}.label{font-size:11px;fill:#2b3644}.tick{font-size:10.5px;fill:#6a7481}.axis{font-size:11.5px;fill:#56616f}.middle{text-anchor:middle}.end{text-anchor:end}.grid{stroke:#e3e7ec}.rule{stroke:#9aa4b0}</style>"
    print "<rect width=\"1280\" height=\"800\" fill=\"#fbfbf9\"/>"
    text(40, 52, "title", "What is installed here: " packages " " noun ", " human(total))
    text(40, 78, "lead", machine (day == "" ? "" : ", " day) ", read from " (kind == "folders" ? "the file system" : "the " kind " database") ". Each rectangle is one of them, its area is its size on disk.")
    treemap()
    bars()
    histogram()
    text(40, 780, "lead", reach_count > 0 ? reach_name " reaches furthest: it pulls in " reach_count " others." : "")
    print "</svg>"
}
