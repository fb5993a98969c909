select file, errors, at from import_error order by file
