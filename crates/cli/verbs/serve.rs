//! `serve`: the current generation by HTTP, or a remote on stdin and stdout.

#[cfg(feature = "serve")]
mod again;
mod arguments;
#[cfg(feature = "serve")]
pub(super) mod http;
mod stdio;

use anyhow::Result;

pub(crate) use arguments::Serve;
#[cfg(feature = "testing")]
pub(crate) use arguments::ServeDoc;
#[cfg(feature = "serve")]
pub(super) use arguments::address;

use crate::command::context::Context;

impl Serve {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        match self.dir.as_ref().filter(|_| self.stdio) {
            Some(dir) => stdio::serve(dir, self.allow),
            None => self.http(context),
        }
    }

    #[cfg(feature = "serve")]
    fn http(&self, context: &Context<'_>) -> Result<u8> {
        http::serve(self, context)
    }

    #[cfg(not(feature = "serve"))]
    fn http(&self, _: &Context<'_>) -> Result<u8> {
        Err(not_built_in().into())
    }
}

/// Creates the error of a program without its web server.
#[cfg(not(feature = "serve"))]
pub(super) fn not_built_in() -> crate::errors::Fail {
    let hint = "build it with the feature `serve`, which is on by default";
    crate::errors::Fail::new("no-server", "this genstore was built without its web server", hint)
}
