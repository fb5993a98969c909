# A squarified treemap (Bruls, Huizing, van Wijk): rows are filled along the shorter side for as
# long as that makes their rectangles squarer. Input: sections with sizes, then packages by size.
function worst(sum, smallest, largest, side,   a, b) {
    if (sum <= 0 || smallest <= 0) return 1e18
    a = side * side * largest / (sum * sum)
    b = sum * sum / (side * side * smallest)
    return a > b ? a : b
}

# Places value[1..n] (largest first, areas in pixels) into a rectangle; results in rx ry rw rh.
function squarify(n, x, y, w, h,   i, j, k, side, sum, now, after, thick, at, long) {
    i = 1
    while (i <= n) {
        side = w < h ? w : h
        sum = value[i]; j = i
        now = worst(sum, value[i], value[i], side)
        while (j < n) {
            after = worst(sum + value[j + 1], value[j + 1], value[i], side)
            if (after > now) break
            j++; sum += value[j]; now = after
        }
        thick = side > 0 ? sum / side : 0
        at = 0
        for (k = i; k <= j; k++) {
            long = thick > 0 ? value[k] / thick : 0
            if (w < h) { rx[k] = x + at; ry[k] = y; rw[k] = long; rh[k] = thick }
            else { rx[k] = x; ry[k] = y + at; rw[k] = thick; rh[k] = long }
            at += long
        }
        if (w < h) { y += thick; h -= thick } else { x += thick; w -= thick }
        if (w < 0) w = 0
        if (h < 0) h = 0
        i = j + 1
    }
}

NR == FNR {
    if ($3 > 0) { section[++sections] = $1; section_kib[sections] = $3; total += $3 }
    next
}
$4 > 0 { name[$3, ++count[$3]] = $1; size[$3, count[$3]] = $4 }

END {
    if (total <= 0) { print "all sizes are zero" > "/dev/stderr"; exit 1 }
    scale = width * height / total
    for (s = 1; s <= sections; s++) value[s] = section_kib[s] * scale
    squarify(sections, 0, 0, width, height)
    for (s = 1; s <= sections; s++) { sx[s] = rx[s]; sy[s] = ry[s]; sw[s] = rw[s]; sh[s] = rh[s] }
    for (s = 1; s <= sections; s++) {
        printf "S\t%s\t\t%.0f\t%.4f\t%.4f\t%.4f\t%.4f\n", section[s], section_kib[s], sx[s], sy[s], sw[s], sh[s]
        for (i = 1; i <= count[section[s]]; i++) value[i] = size[section[s], i] * scale
        squarify(count[section[s]], sx[s], sy[s], sw[s], sh[s])
        for (i = 1; i <= count[section[s]]; i++)
            printf "P\t%s\t%s\t%.0f\t%.4f\t%.4f\t%.4f\t%.4f\n", section[s], name[section[s], i], size[section[s], i], rx[i], ry[i], rw[i], rh[i]
    }
}
