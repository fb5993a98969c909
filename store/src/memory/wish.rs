//! Wishes on the maps.

use super::MemoryStore;
use crate::{
    PutWish, StoreError, TakenWish, WISH_KEPT, WISH_TAKEN_WITHIN, WISHES_WAITING_MAX, WishStore,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::Instant;

/// By number.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    rows: BTreeMap<i64, Wish>,
    last: i64,
}

#[derive(Debug)]
struct Wish {
    asked_at: Instant,
    asked: String,
    taken_by: Option<i64>,
    answer: Option<String>,
}

impl Wish {
    fn waits(&self) -> bool {
        self.taken_by.is_none() && self.asked_at.elapsed() < WISH_TAKEN_WITHIN
    }
}

#[async_trait]
impl WishStore for MemoryStore {
    async fn put_wish(&self, asked: &str) -> Result<PutWish, StoreError> {
        let wishes = &mut self.lock().wishes;
        let n_waiting = wishes.rows.values().filter(|wish| wish.waits()).count();
        if n_waiting >= WISHES_WAITING_MAX as usize {
            return Ok(PutWish::Full);
        }
        wishes.last += 1;
        let wish = Wish {
            asked_at: Instant::now(),
            asked: asked.to_string(),
            taken_by: None,
            answer: None,
        };
        wishes.rows.insert(wishes.last, wish);
        Ok(PutWish::Waits(wishes.last))
    }

    async fn wish_answer(&self, wish: i64) -> Result<Option<String>, StoreError> {
        let found = self
            .lock()
            .wishes
            .rows
            .get(&wish)
            .map(|wish| wish.answer.clone());
        Ok(found.flatten())
    }

    async fn withdraw_wish(&self, wish: i64) -> Result<bool, StoreError> {
        let rows = &mut self.lock().wishes.rows;
        let is_free = rows.get(&wish).is_some_and(|wish| wish.taken_by.is_none());
        if is_free {
            rows.remove(&wish);
        }
        Ok(is_free)
    }

    async fn forget_wish(&self, wish: i64) -> Result<Option<String>, StoreError> {
        let forgotten = self.lock().wishes.rows.remove(&wish);
        Ok(forgotten.and_then(|wish| wish.answer))
    }

    async fn take_wishes(&self, term: i64, limit: u32) -> Result<Vec<TakenWish>, StoreError> {
        let tables = &mut *self.lock();
        if tables.term != term {
            return Err(StoreError::TermLost);
        }
        let rows = &mut tables.wishes.rows;
        rows.retain(|_, wish| wish.asked_at.elapsed() < WISH_KEPT);
        let waiting = rows.iter_mut().filter(|(_, wish)| wish.waits());
        let taken = waiting.take(limit as usize).map(|(no, wish)| {
            wish.taken_by = Some(term);
            TakenWish {
                wish: *no,
                asked: wish.asked.clone(),
            }
        });
        Ok(taken.collect())
    }

    async fn answer_wish(&self, term: i64, wish: i64, answer: &str) -> Result<(), StoreError> {
        let tables = &mut *self.lock();
        if tables.term != term {
            return Err(StoreError::TermLost);
        }
        if let Some(wish) = tables.wishes.rows.get_mut(&wish)
            && wish.taken_by == Some(term)
        {
            wish.answer = Some(answer.to_string());
        }
        Ok(())
    }
}
