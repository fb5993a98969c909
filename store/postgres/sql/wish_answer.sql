update wish set answer = $3 where wish = $2 and taken_by = $1
