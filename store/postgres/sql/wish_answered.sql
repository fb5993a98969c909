select answer from wish where wish = $1 and answer is not null
