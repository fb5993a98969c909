select asset, name, uri, asset_group, description,
       extra, created_at, updated_at
from asset
order by name
