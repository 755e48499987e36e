//! The pages that people see: plain HTML with a style of its own, without scripts. Whatever comes from elsewhere is escaped.

use std::{sync::LazyLock, time::Duration};

use axum::response::{Html, IntoResponse, Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS},
};
use ring::digest::{SHA256, digest};

use super::{client::Client, redirect::shown};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2733;--soft:#5b6b7b;--paper:#f3f5f8;--card:#fff;--line:#dde3ea;--accent:#0b6bcb;--on:#fff;--warn:#8a4b00;--warnpaper:#fff6e6}\
@media(prefers-color-scheme:dark){:root{--ink:#e7edf3;--soft:#9fb0c0;--paper:#0f151c;--card:#18212b;--line:#2b3947;--accent:#4da3ff;--on:#06121f;--warn:#ffc46b;--warnpaper:#2c2213}}\
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;padding:1.5rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}\
main{width:100%;max-width:30rem;background:var(--card);border:1px solid var(--line);border-radius:14px;padding:2rem;box-shadow:0 8px 30px rgba(0,0,0,.06)}\
.brand{color:var(--soft);font-size:.85rem;letter-spacing:.04em;margin:0 0 1rem}h1{font-size:1.35rem;line-height:1.3;margin:0 0 1rem;overflow-wrap:anywhere}p{margin:0 0 1rem;overflow-wrap:anywhere}\
dl{margin:0 0 1.25rem;border-top:1px solid var(--line)}dl div{display:flex;gap:1rem;padding:.6rem 0;border-bottom:1px solid var(--line)}dt{flex:0 0 7.5rem;color:var(--soft)}dd{margin:0;overflow-wrap:anywhere;font-weight:600}\
.warn{background:var(--warnpaper);color:var(--warn);border-radius:10px;padding:.75rem 1rem}\
.actions{display:flex;gap:.75rem;margin-top:1.5rem}button,.button{flex:1;padding:.7rem 1rem;border-radius:10px;border:1px solid var(--line);background:transparent;color:var(--ink);font:inherit;font-weight:600;cursor:pointer;text-align:center;text-decoration:none}\
.main{background:var(--accent);border-color:var(--accent);color:var(--on)}button:focus-visible,.button:focus-visible,input:focus-visible{outline:3px solid var(--accent);outline-offset:2px}small{color:var(--soft)}\
label{display:block;margin:0 0 1rem;font-weight:600}input:not([type=hidden]){display:block;width:100%;margin-top:.35rem;padding:.7rem .85rem;border-radius:10px;border:1px solid var(--line);background:var(--paper);color:var(--ink);font:inherit;font-weight:400}";

/// What a page may load and do: its own style, and nothing else. There is no `form-action`: browsers apply it to where a form's answer
/// leads, too, which may be an application.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'")
});

/// A page with its status.
pub(super) struct Page {
    status: StatusCode,
    title: String,
    head: String,
    body: String,
}

impl Page {
    /// A page that says what is wrong, and what to do.
    pub(super) fn problem(status: StatusCode, title: &str, text: &str) -> Self {
        let body = format!("<h1>{}</h1><p>{}</p>", escaped(title), escaped(text));
        Self { status, title: title.to_owned(), head: String::new(), body }
    }

    /// With a link by which the client learns of it.
    pub(super) fn with_way_back(mut self, address: String) -> Self {
        self.body.push_str(&format!(
            "<div class=\"actions\"><a class=\"button main\" href=\"{}\">Back to the client</a></div>",
            escaped(&address)
        ));
        self
    }

    pub(super) fn html(&self) -> String {
        let Self { title, head, body, .. } = self;
        let title = escaped(title);
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <meta name=\"robots\" content=\"noindex\">{head}<title>{title} · mcvsphere</title><style>{STYLE}</style></head>\
             <body><main><p class=\"brand\">mcvsphere</p>{body}</main></body></html>"
        )
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        safe((self.status, Html(self.html())).into_response())
    }
}

/// The answer with the headers that keep it from being kept, framed and taken for something else.
pub(super) fn safe(mut response: Response) -> Response {
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(CONTENT_SECURITY_POLICY, &POLICY);
    set(X_FRAME_OPTIONS, "DENY");
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    // A form of a page that names no referrer says of no origin that it comes from there.
    set(REFERRER_POLICY, "same-origin");
    set(CACHE_CONTROL, "no-store");
    response
}

/// The page that asks whether a client may act for the user.
pub(super) fn consent(client: &Client, redirect: &str, server: &str, request: &str) -> Page {
    let (name, server) = (escaped(&client.name), escaped(server));
    let origin = match &client.host {
        Some(host) => escaped(host),
        None => "unknown: it gave its name itself".to_owned(),
    };
    let warning = match client.is_local_only() {
        true => {
            "<p class=\"warn\">Any program on your computer could call itself so. Go on only if you have just started this login in \
             a program that you know.</p>"
        }
        false => {
            "<p class=\"warn\">Go on only if you have just started this login, and know the place that the answer is sent to.</p>"
        }
    };
    let body = format!(
        "<h1>Allow “{name}” to manage vSphere for you?</h1>\
         <p>It will be able to do in vSphere whatever you may do there through this server. Next you log in with your organization.</p>\
         <dl><div><dt>Client</dt><dd>{name}</dd></div><div><dt>Vouched for by</dt><dd>{origin}</dd></div>\
         <div><dt>Answer goes to</dt><dd>{place}<br><small>{redirect}</small></dd></div>\
         <div><dt>This server</dt><dd>{server}</dd></div></dl>{warning}\
         <form method=\"post\" action=\"/consent\"><input type=\"hidden\" name=\"request\" value=\"{request}\">\
         <div class=\"actions\"><button name=\"decision\" value=\"deny\">Deny</button>\
         <button class=\"main\" name=\"decision\" value=\"allow\">Allow and log in</button></div></form>",
        place = escaped(&shown(redirect)),
        redirect = escaped(redirect),
        request = escaped(request),
    );
    Page { status: StatusCode::OK, title: "Allow access".to_owned(), head: String::new(), body }
}

/// The form by which a user logs in to vCenter, with what was wrong before.
pub(super) fn vcenter_login(
    status: StatusCode,
    host: &str,
    name: &str,
    path: &str,
    form: &str,
    wrong: Option<&str>,
) -> Page {
    let (host, name) = (escaped(host), escaped(name));
    let wrong =
        wrong.map(|wrong| format!("<p class=\"warn\" role=\"alert\">{}</p>", escaped(wrong))).unwrap_or_default();
    let body = format!(
        "<h1>Log in to vCenter</h1>\
         <p>Then your AI clients act there as this account, with its permissions, and vCenter's events name it.</p>\
         <dl><div><dt>vCenter</dt><dd>{host}</dd></div><div><dt>You are</dt><dd>{name}</dd></div></dl>{wrong}\
         <form method=\"post\" action=\"{path}\"><input type=\"hidden\" name=\"form\" value=\"{form}\">\
         <label>User name in vCenter<input name=\"user\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" \
         maxlength=\"256\" placeholder=\"jane@example.com\" required autofocus></label>\
         <label>Password<input name=\"password\" type=\"password\" autocomplete=\"current-password\" maxlength=\"1024\" required></label>\
         <p><small>The password is used for this login and not kept.</small></p>\
         <div class=\"actions\"><button class=\"main\">Log in</button></div></form>",
        form = escaped(form),
    );
    Page { status, title: "Log in to vCenter".to_owned(), head: String::new(), body }
}

/// The page after a login at vCenter, by which it can be ended.
pub(super) fn vcenter_done(host: &str, user: &str, idle: Duration, path: &str, form: &str) -> Page {
    let idle = match idle.as_secs() {
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    };
    let body = format!(
        "<h1>You are logged in to vCenter</h1><p>You can close this page and go on in the client.</p>\
         <dl><div><dt>vCenter</dt><dd>{host}</dd></div><div><dt>Account</dt><dd>{user}</dd></div>\
         <div><dt>Ends</dt><dd>after {idle} without a call</dd></div></dl>\
         <form method=\"post\" action=\"{path}\"><input type=\"hidden\" name=\"form\" value=\"{form}\">\
         <div class=\"actions\"><button>End the session now</button></div></form>",
        host = escaped(host),
        user = escaped(user),
        form = escaped(form),
    );
    Page { status: StatusCode::OK, title: "Logged in to vCenter".to_owned(), head: String::new(), body }
}

/// The page that leads to an application by a scheme of its own, where browsers follow no redirect from a form.
pub(super) fn to_application(address: &str, succeeded: bool) -> Page {
    let address = escaped(address);
    let title = if succeeded { "You are logged in" } else { "You are not logged in" };
    let body = format!(
        "<h1>{title}</h1><p>Your browser may ask whether to open the application. If nothing happens, use the button.</p>\
         <div class=\"actions\"><a class=\"button main\" href=\"{address}\">Open the application</a></div>"
    );
    let head = format!("<meta http-equiv=\"refresh\" content=\"0;url={address}\">");
    Page { status: StatusCode::OK, title: title.to_owned(), head, body }
}

/// A text that HTML takes as text, between tags and between quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_16_markup_is_text() {
        let evil = "\"><script>alert('x')</script>&\n";
        let client = Client {
            name: evil.to_owned(),
            redirects: vec!["http://127.0.0.1/".to_owned()],
            host: Some(evil.to_owned()),
        };
        for page in [
            consent(&client, evil, evil, evil),
            Page::problem(StatusCode::OK, evil, evil).with_way_back(evil.to_owned()),
            to_application(evil, true),
            vcenter_login(StatusCode::OK, evil, evil, "/", evil, Some(evil)),
            vcenter_done(evil, evil, Duration::from_secs(1800), "/", evil),
        ] {
            let html = format!("{}{}{}", page.head, page.body, escaped(&page.title));
            assert!(!html.contains("<script") && html.contains("&lt;script&gt;"), "{html}");
            assert!(!html.contains("alert('x')"), "{html}");
        }
    }
}
