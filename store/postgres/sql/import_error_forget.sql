delete from import_error where file = $1
