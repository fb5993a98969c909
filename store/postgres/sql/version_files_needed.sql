select version_file.version, version_file.path, version_file.mode, blob.bytes
from version_file join blob on blob.sha256 = version_file.sha256
where version_file.version in (
    select version from dag
    union
    select version from dag_run where state in ('queued', 'running')
)
order by version_file.version, version_file.path
