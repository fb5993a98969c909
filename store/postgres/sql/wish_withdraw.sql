-- It waits for whoever is about to take it, and looks again: the row goes only if nobody has it.
delete from wish where wish = $1 and taken_by is null returning wish
