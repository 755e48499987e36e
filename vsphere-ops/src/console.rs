//! The console of a VM: its screen, its keyboard, and the questions that it asks.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! use vsphere_ops::console::{Keys, Layout};
//! use vsphere_ops::managed::VirtualMachine;
//!
//! let web = client.get::<VirtualMachine>("web-01").await?;
//! web.type_keys(&Keys::text("root", Layout::Us)?.then(Keys::named("enter")?)).await?;
//! let picture = web.screenshot().width(360).await?;
//! println!("{} x {} pixels in {} bytes", picture.width(), picture.height(), picture.png().len());
//! if let Some(question) = web.question().await? {
//!     println!("{} asks: {}", question.vm, question.text);
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```

mod keys;
mod layout;
mod question;
mod screenshot;

pub use keys::{Keys, Typed};
pub use layout::Layout;
pub use question::{Answered, Choice, Question};
pub use screenshot::{Picture, Region, Screenshot};
