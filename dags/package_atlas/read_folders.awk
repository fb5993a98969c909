# Sizes of folders, as du prints them: KiB, a tab, a path. A folder stands for a package.
BEGIN { FS = "\t"; OFS = "\t" }

{
    name = $2
    sub(/^.*\//, "", name)
    print "P", name, "-", toupper(substr(name, 1, 1)), $1 + 0
}
