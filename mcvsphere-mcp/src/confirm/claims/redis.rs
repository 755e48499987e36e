//! Claims in Redis, or what speaks its protocol.

use redis::{AsyncCommands, Client, ExistenceCheck, RedisError, SetExpiry, SetOptions, aio::MultiplexedConnection};
use tokio::sync::Mutex;

use super::{KEPT, NoClaims};

/// A Redis that holds claims.
pub(crate) struct Redis {
    client: Client,
    /// For messages: without a user or a password.
    address: String,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Redis {
    /// # Errors
    /// The URL is not one of Redis.
    pub(super) fn open(url: &str) -> Result<Self, NoClaims> {
        let unusable = |error: RedisError| NoClaims(error.to_string());
        let client = Client::open(url).map_err(unusable)?;
        let address = client.get_connection_info().addr().to_string();
        Ok(Self { client, address, connection: Mutex::default() })
    }

    pub(super) async fn claim(&self, number: &str, who: &str) -> Result<bool, NoClaims> {
        let key = key(number);
        // What both tries write, so that the second knows what the first has written where only its answer was lost.
        let value = format!("{:032x} by {who}", fastrand::u128(..));
        if let Ok(granted) = self.try_claim(&key, &value).await {
            return Ok(granted);
        }
        self.disconnect().await;
        self.try_claim(&key, &value).await.map_err(|error| self.failed(&error))
    }

    pub(super) async fn is_claimed(&self, number: &str) -> Result<bool, NoClaims> {
        let key = key(number);
        if let Ok(claimed) = self.exists(&key).await {
            return Ok(claimed);
        }
        self.disconnect().await;
        self.exists(&key).await.map_err(|error| self.failed(&error))
    }

    async fn try_claim(&self, key: &str, value: &str) -> Result<bool, RedisError> {
        let mut connection = self.connected().await?;
        let options = SetOptions::default();
        let options = options.conditional_set(ExistenceCheck::NX).with_expiration(SetExpiry::EX(KEPT.as_secs()));
        let set: Option<String> = connection.set_options(key, value, options).await?;
        if set.is_some() {
            return Ok(true);
        }
        let held: Option<String> = connection.get(key).await?;
        Ok(held.as_deref() == Some(value))
    }

    async fn exists(&self, key: &str) -> Result<bool, RedisError> {
        self.connected().await?.exists(key).await
    }

    async fn connected(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept {
            return Ok(connection.clone());
        }
        let connection = self.client.get_multiplexed_async_connection().await?;
        *kept = Some(connection.clone());
        Ok(connection)
    }

    /// Forgets a connection that has broken: it may have been idle for long.
    async fn disconnect(&self) {
        *self.connection.lock().await = None;
    }

    fn failed(&self, error: &RedisError) -> NoClaims {
        NoClaims(format!("Redis at {}: {error}", self.address))
    }
}

fn key(number: &str) -> String {
    format!("mcvsphere:claim:{number}")
}
