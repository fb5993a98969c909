delete from wish where wish = $1 returning answer
