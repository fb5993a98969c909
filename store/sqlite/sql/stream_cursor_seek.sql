update stream_cursor set
    next_offset = ?7,
    owner_epoch = ?8,
    generation = generation + 1,
    halted = ?9,
    n_taken = n_taken + ?10,
    n_filtered = n_filtered + ?11,
    n_missing = n_missing + ?12,
    n_skipped = n_skipped + ?13,
    n_quarantined = n_quarantined + ?14,
    n_deduped = n_deduped + ?15,
    n_lost = n_lost + ?16,
    updated_at = ?17
where trigger_no = ?1 and replay = ?2 and topic = ?3 and incarnation = ?4 and partition = ?5
  and next_offset = ?6
