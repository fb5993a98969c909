select version_file.version, version_file.path, version_file.mode, blob.bytes
from version_file join blob on blob.sha256 = version_file.sha256
where version_file.version = $1
order by version_file.path
