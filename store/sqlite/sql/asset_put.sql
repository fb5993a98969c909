insert into asset (asset, name, uri, asset_group, description, extra, created_at, updated_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
on conflict (asset) do update set
    uri = excluded.uri,
    asset_group = excluded.asset_group,
    description = excluded.description,
    extra = excluded.extra,
    updated_at = excluded.updated_at
