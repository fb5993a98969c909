//! Who one is to the storage: asked for now and then, so that a changed login is taken up.

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidemill_connection::Connection;
use tokio::sync::Mutex;

/// A login is looked up again after this.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// Finds the connection that says who one is: its login is the id of the access key, its password
/// the secret key, and `session_token` of its `extra` the token, if there is one.
pub type LoginDoor =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Connection, String>> + Send>> + Send + Sync>;

/// A login that is looked up when it is needed.
pub struct Login {
    door: LoginDoor,
    last: Mutex<Option<(Instant, Arc<AwsCredential>)>>,
}

impl Login {
    /// By this door.
    pub fn new(door: LoginDoor) -> Login {
        Login {
            door,
            last: Mutex::default(),
        }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Login")
    }
}

#[async_trait]
impl CredentialProvider for Login {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().await;
        if let Some((at, login)) = &*last
            && at.elapsed() < GOOD_FOR
        {
            return Ok(Arc::clone(login));
        }
        let found = (self.door)().await.and_then(|found| credential(&found));
        let found = found.map_err(|what| object_store::Error::Generic {
            store: "S3",
            source: what.into(),
        })?;
        let found = Arc::new(found);
        *last = Some((Instant::now(), Arc::clone(&found)));
        Ok(found)
    }
}

fn credential(connection: &Connection) -> Result<AwsCredential, String> {
    let lacks = |what: &str| {
        let id = &connection.id;
        format!("the connection `{id}` has no {what}; set it with `tidemill connections set {id}`")
    };
    let secret = connection.password.as_ref();
    let extra = connection.extra_object();
    let token = extra.as_ref().and_then(|extra| extra.get("session_token"));
    Ok(AwsCredential {
        key_id: connection
            .login
            .clone()
            .ok_or_else(|| lacks("login, the id of an access key"))?,
        secret_key: secret
            .ok_or_else(|| lacks("password, the secret key"))?
            .expose()
            .to_string(),
        token: token.and_then(|token| token.as_str()).map(str::to_string),
    })
}
