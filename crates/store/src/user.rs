//! Users: their rows, and what of them a login needs.
//! Knows nothing of how a password is hashed, nor of sessions.

use pipecast_model::{Role, Timestamp, UserId};
use sqlx::QueryBuilder;

use crate::engine::on;
use crate::error::{Attempt, taken};
use crate::query::{Deleted, Direction};
use crate::writer::Tx;
use crate::{Reader, Result};

macro_rules! select_users {
    ($rest:literal) => {
        concat!(
            "SELECT u.id, u.name, u.display_name, u.email, u.role, u.password IS NOT NULL AS has_password, u.disabled_at, u.deleted_at,
                u.created_at, u.updated_at, u.version,
                EXISTS (SELECT 1 FROM totp t WHERE t.user_id = u.id AND t.confirmed_at IS NOT NULL) AS has_totp
            FROM users u ",
            $rest
        )
    };
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// What they log in with; compared without case.
    pub name: String,
    /// What they are called.
    pub display_name: Option<String>,
    /// Where they are written to.
    pub email: Option<String>,
    /// What they are everywhere.
    pub role: Option<Role>,
    /// Whether they can log in with a password.
    pub has_password: bool,
    /// Since when they may not come in.
    pub disabled_at: Option<Timestamp>,
    /// Since when they are gone; they can be restored.
    pub deleted_at: Option<Timestamp>,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
    /// Counts its changes.
    pub version: i64,
    /// Whether a second factor is asked for.
    pub has_totp: bool,
}

/// An account to be.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// What they will log in with.
    pub name: String,
    /// What they are called.
    pub display_name: Option<String>,
    /// Where they are written to.
    pub email: Option<String>,
    /// What they are everywhere.
    pub role: Option<Role>,
    /// The hash of their password, as a PHC string.
    pub password: Option<String>,
}

/// What of an account a login needs.
#[derive(Clone, sqlx::FromRow)]
pub struct Login {
    /// Whose.
    pub id: UserId,
    /// A PHC string; `None`: not by password.
    pub password: Option<String>,
    /// When they got that password; it stays where the same one is hashed anew.
    pub password_changed_at: Option<Timestamp>,
    /// Whether they may not come in.
    pub is_disabled: bool,
    /// Whether a second factor is asked for.
    pub has_totp: bool,
}

macro_rules! select_logins {
    ($rest:literal) => {
        concat!(
            "SELECT u.id, u.password, u.password_changed_at, u.disabled_at IS NOT NULL OR u.deleted_at IS NOT NULL AS is_disabled,
                EXISTS (SELECT 1 FROM totp t WHERE t.user_id = u.id AND t.confirmed_at IS NOT NULL) AS has_totp
            FROM users u ",
            $rest
        )
    };
}

/// Which users.
#[derive(Clone, Debug, Default)]
pub struct UserQuery {
    /// Only whose name, display name or address contains this, in any case.
    pub text: Option<String>,
    /// Only with this role everywhere.
    pub role: Option<Role>,
    /// Only those who are disabled, or only those who are not.
    pub disabled: Option<bool>,
    /// Whether deleted ones are in it.
    pub deleted: Deleted,
    /// Which way, by id.
    pub direction: Direction,
    /// Go on after this one.
    pub after: Option<UserId>,
    /// At most this many.
    pub limit: i64,
}

impl Reader {
    /// One user, deleted ones included.
    pub async fn find_user(&self, id: UserId) -> Result<Option<User>> {
        const SQL: &str = select_users!("WHERE u.id = $1");
        on!(&self.on, |db| sqlx::query_as(SQL).bind(id).fetch_optional(db).await).attempted("read a user")
    }

    /// A page of users by id.
    pub async fn list_users(&self, query: &UserQuery) -> Result<Vec<User>> {
        on!(&self.on, |db| {
            let mut sql = QueryBuilder::new(select_users!("WHERE "));
            sql.push(query.deleted.condition());
            if let Some(disabled) = query.disabled {
                sql.push(if disabled {
                    " AND u.disabled_at IS NOT NULL"
                } else {
                    " AND u.disabled_at IS NULL"
                });
            }
            if let Some(role) = query.role {
                sql.push(" AND u.role = ").push_bind(role.word());
            }
            if let Some(text) = &query.text {
                // What an older build has written is not folded yet.
                const FOLDED: [&str; 3] = [
                    "u.name_folded",
                    "coalesce(u.display_name_folded, lower(u.display_name))",
                    "coalesce(u.email_folded, lower(u.email))",
                ];
                let pattern = crate::query::containing(text);
                sql.push(" AND (FALSE");
                for column in FOLDED {
                    sql.push(" OR ").push(column).push(" LIKE ").push_bind(pattern.clone()).push(" ESCAPE '\\'");
                }
                sql.push(")");
            }
            query.direction.page(&mut sql, "u.id", query.after);
            sql.push_bind(query.limit).build_query_as().fetch_all(db).await
        })
        .attempted("list users")
    }

    /// What a login under this name needs. Costs the same whether there is such a name or not.
    pub async fn find_login(&self, name: &str) -> Result<Option<Login>> {
        const SQL: &str = select_logins!("WHERE u.name_folded = $1 AND u.deleted_at IS NULL");
        on!(&self.on, |db| sqlx::query_as(SQL).bind(folded(name)).fetch_optional(db).await).attempted("look for a login")
    }

    /// What a login needs of a user.
    pub async fn find_login_of(&self, id: UserId) -> Result<Option<Login>> {
        const SQL: &str = select_logins!("WHERE u.id = $1");
        on!(&self.on, |db| sqlx::query_as(SQL).bind(id).fetch_optional(db).await).attempted("look for a login")
    }

    /// What hashes of passwords begin with up to their salt, each once: what they were made at.
    pub async fn list_password_costs(&self) -> Result<Vec<String>> {
        // A salt of 16 bytes and a tag of 32, and the signs before each of them.
        const SQL: &str = "
            SELECT DISTINCT substr(password, 1, length(password) - 67)
            FROM users
            WHERE length(password) > 67
            LIMIT 20";
        on!(&self.on, |db| sqlx::query_scalar(SQL).fetch_all(db).await).attempted("look at what passwords cost")
    }
}

impl Tx {
    /// Makes an account; `None` where the name is taken.
    pub async fn create_user(&mut self, user: &NewUser) -> Result<Option<UserId>> {
        const SQL: &str = "
            INSERT INTO users (name, name_folded, display_name, display_name_folded, email, email_folded, role, password,
                password_changed_at, created_at, updated_at, version)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, 1)
            ON CONFLICT DO NOTHING
            RETURNING id";
        let now = Timestamp::now();
        on!(&mut self.on, |db| sqlx::query_scalar(SQL)
            .bind(&user.name)
            .bind(folded(&user.name))
            .bind(&user.display_name)
            .bind(user.display_name.as_deref().map(str::to_lowercase))
            .bind(&user.email)
            .bind(user.email.as_deref().map(str::to_lowercase))
            .bind(user.role.map(Role::word))
            .bind(&user.password)
            .bind(user.password.as_ref().map(|_| now))
            .bind(now)
            .fetch_optional(&mut **db)
            .await)
        .attempted("create a user")
    }

    /// A user as this transaction sees it, and locked until it ends.
    pub async fn hold_user(&mut self, id: UserId) -> Result<Option<User>> {
        const LOCK: &str = "UPDATE users SET version = version WHERE id = $1";
        const SQL: &str = select_users!("WHERE u.id = $1");
        on!(&mut self.on, |db| sqlx::query(LOCK).bind(id).execute(&mut **db).await.map(drop)).attempted("lock a user")?;
        on!(&mut self.on, |db| sqlx::query_as(SQL).bind(id).fetch_optional(&mut **db).await).attempted("read a user")
    }

    /// What a login needs of a user, as this transaction sees it, and locked until it ends.
    pub async fn hold_login(&mut self, id: UserId) -> Result<Option<Login>> {
        const LOCK: &str = "UPDATE users SET version = version WHERE id = $1";
        const SQL: &str = select_logins!("WHERE u.id = $1");
        on!(&mut self.on, |db| sqlx::query(LOCK).bind(id).execute(&mut **db).await.map(drop)).attempted("lock a user")?;
        on!(&mut self.on, |db| sqlx::query_as(SQL).bind(id).fetch_optional(&mut **db).await).attempted("look for a login")
    }

    /// A user by their name, held likewise; deleted ones have none.
    pub async fn hold_user_named(&mut self, name: &str) -> Result<Option<User>> {
        const SQL: &str = "SELECT id FROM users WHERE name_folded = $1 AND deleted_at IS NULL";
        let id: Option<UserId> =
            on!(&mut self.on, |db| sqlx::query_scalar(SQL).bind(folded(name)).fetch_optional(&mut **db).await).attempted("find a user by their name")?;
        match id {
            Some(id) => self.hold_user(id).await,
            None => Ok(None),
        }
    }

    /// Writes a user as it is to be, and counts its version up. `false` where the name is taken.
    pub async fn write_user(&mut self, user: &User) -> Result<bool> {
        const SQL: &str = "
            UPDATE users
            SET (name, name_folded, display_name, display_name_folded, email, email_folded, role, disabled_at, deleted_at, updated_at, version)
                = ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, version + 1)
            WHERE id = $1";
        let written = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(user.id)
            .bind(&user.name)
            .bind(folded(&user.name))
            .bind(&user.display_name)
            .bind(user.display_name.as_deref().map(str::to_lowercase))
            .bind(&user.email)
            .bind(user.email.as_deref().map(str::to_lowercase))
            .bind(user.role.map(Role::word))
            .bind(user.disabled_at)
            .bind(user.deleted_at)
            .bind(Timestamp::now())
            .execute(&mut **db)
            .await
            .map(drop));
        taken(written, "write a user")
    }

    /// Gives a user another password.
    pub async fn set_password(&mut self, id: UserId, phc: &str) -> Result<()> {
        const SQL: &str = "UPDATE users SET (password, password_changed_at) = ($2, $3) WHERE id = $1";
        on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(id)
            .bind(phc)
            .bind(Timestamp::now())
            .execute(&mut **db)
            .await
            .map(drop))
        .attempted("change a password")
    }

    /// Puts another hash of the same password in the place of one. `false` where that is not there any more.
    pub async fn renew_password(&mut self, id: UserId, before: &str, phc: &str) -> Result<bool> {
        const SQL: &str = "UPDATE users SET password = $3 WHERE id = $1 AND password = $2";
        let rows = on!(&mut self.on, |db| sqlx::query(SQL)
            .bind(id)
            .bind(before)
            .bind(phc)
            .execute(&mut **db)
            .await
            .map(|done| done.rows_affected()))
        .attempted("hash a password anew")?;
        Ok(rows == 1)
    }

    /// Keeps others from changing who is an admin until the transaction ends.
    pub async fn hold_admins(&mut self) -> Result<()> {
        const SQL: &str = "UPDATE setup SET used_at = used_at WHERE id = 1";
        on!(&mut self.on, |db| sqlx::query(SQL).execute(&mut **db).await.map(drop)).attempted("lock the admins")
    }

    /// How many admins everywhere can come in: whoever has no password cannot.
    pub async fn count_admins(&mut self) -> Result<i64> {
        const SQL: &str = "
            SELECT count(*) FROM users
            WHERE role = 'admin' AND password IS NOT NULL AND disabled_at IS NULL AND deleted_at IS NULL";
        on!(&mut self.on, |db| sqlx::query_scalar(SQL).fetch_one(&mut **db).await).attempted("count admins")
    }
}

/// Names are compared without case, and without what surrounds them.
pub(crate) fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}
