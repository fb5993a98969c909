//! Wishes that reach the scheduler by a row.

use crate::engine::fence;
use crate::rows::{self, Columns, Unreadable};
use crate::text::stored;
use crate::trouble::Trouble;
use crate::{PostgresStore, sql};
use async_trait::async_trait;
use sqlx::Connection;
use tidemill_store::{
    PutWish, StoreError, TakenWish, WISH_KEPT, WISH_TAKEN_WITHIN, WISHES_WAITING_MAX, WishStore,
};

fn taken(columns: &mut dyn Columns) -> Result<TakenWish, Unreadable> {
    Ok(TakenWish {
        wish: columns.take()?,
        asked: columns.take()?,
    })
}

#[async_trait]
impl WishStore for PostgresStore {
    async fn put_wish(&self, asked: &str) -> Result<PutWish, StoreError> {
        let query = sqlx::query(sql::WISH_PUT)
            .bind(stored(asked))
            .bind(i64::from(WISHES_WAITING_MAX))
            .bind(WISH_TAKEN_WITHIN.as_secs_f64());
        // Before there is a connection nothing can have been written.
        let conn = match self.conn().await {
            Ok(conn) => conn,
            Err(trouble) => return Ok(PutWish::Failed(self.say(trouble))),
        };
        let put = async { rows::all(&self.fetch_by(conn, query).await?, |columns| columns.take()) };
        match put.await {
            Ok(put) => Ok(put
                .first()
                .map_or(PutWish::Full, |wish| PutWish::Waits(*wish))),
            Err(trouble) if trouble.leaves_doubt() => Err(self.say(trouble)),
            Err(trouble) => Ok(PutWish::Failed(self.say(trouble))),
        }
    }

    async fn wish_answer(&self, wish: i64) -> Result<Option<String>, StoreError> {
        let query = sqlx::query(sql::WISH_ANSWERED).bind(wish);
        self.find(query, |columns| columns.take()).await
    }

    async fn withdraw_wish(&self, wish: i64) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::WISH_WITHDRAW).bind(wish);
        let withdrawn: Option<i64> = self.find(query, |columns| columns.take()).await?;
        Ok(withdrawn.is_some())
    }

    async fn forget_wish(&self, wish: i64) -> Result<Option<String>, StoreError> {
        let query = sqlx::query(sql::WISH_FORGET).bind(wish);
        let forgotten = self.find(query, |columns| columns.maybe()).await?;
        Ok(forgotten.flatten())
    }

    async fn take_wishes(&self, term: i64, limit: u32) -> Result<Vec<TakenWish>, StoreError> {
        self.writable()?;
        let ages = (WISH_TAKEN_WITHIN.as_secs_f64(), WISH_KEPT.as_secs_f64());
        // While nobody asks, nothing is written and no row is locked.
        let query = sqlx::query(sql::WISHES_WAIT).bind(ages.0).bind(ages.1);
        if self.find(query, |columns| columns.take()).await? != Some(true) {
            return Ok(Vec::new());
        }
        self.with(move |conn| {
            Box::pin(async move {
                let mut tx = conn.begin().await?;
                fence(&mut tx, Some(term)).await?;
                let query = sqlx::query(sql::WISHES_TAKE).bind(term);
                let query = query.bind(i64::from(limit)).bind(ages.0).bind(ages.1);
                let found = query.fetch_all(&mut *tx).await?;
                tx.commit().await?;
                rows::all(&found, taken)
            })
        })
        .await
    }

    async fn answer_wish(&self, term: i64, wish: i64, answer: &str) -> Result<(), StoreError> {
        self.writable()?;
        let answer = stored(answer).into_owned();
        self.with(move |conn| {
            Box::pin(async move {
                let mut tx = conn.begin().await?;
                fence(&mut tx, Some(term)).await?;
                let query = sqlx::query(sql::WISH_ANSWER).bind(term).bind(wish);
                query.bind(answer).execute(&mut *tx).await?;
                Ok::<(), Trouble>(tx.commit().await?)
            })
        })
        .await
    }
}
