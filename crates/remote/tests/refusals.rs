//! Answers of servers that refuse, lie, or are not the server: each has a reason of its own, and no secret is in its
//! message.

use std::io::{Read, Write};
use std::net::TcpListener;

use genstore_remote::Access;
use genstore_remote::transport::http::HttpTransport;
use genstore_remote::transport::s3::S3Transport;
use genstore_remote::transport::{Created, Failure, Reason, Transport};

/// Answers each request with these bytes, until the test ends. Returns the address.
fn server(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let run = move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request: Vec<u8> = vec![];
            let mut chunk = [0; 4096];
            // The requests of this test have no body, or one that comes with the first packet.
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend(&chunk[..read]),
                }
            }
            drop(stream.write_all(answer.as_bytes()));
        }
    };
    std::thread::Builder::new().spawn(run).unwrap();
    format!("http://{address}")
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n{headers}\r\n{body}")
}

fn error(status: &str, code: &str, more: &str) -> String {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message>{more}</Error>");
    answer(status, "Content-Type: application/xml\r\n", &body)
}

const SECRET: &str = "a-secret-that-is-never-shown";

fn bucket(answer: String) -> S3Transport {
    let address = format!("bucket/prefix?endpoint={}", server(answer));
    S3Transport::new(&address, &Access::default().key("id", SECRET)).unwrap()
}

/// Reads and creates, and checks the reason of both failures.
#[track_caller]
fn check(answer: String, reason: Reason, part: &str) {
    let transport = bucket(answer);
    let failures: [Failure; 2] =
        [transport.get("format", 100).unwrap_err(), transport.create("format", b"x").unwrap_err()];
    for failure in failures {
        assert_eq!((failure.reason, failure.is_ambiguous), (reason, false), "{failure:?}");
        assert!(failure.message.contains(part) && !failure.message.contains(SECRET), "{failure:?}");
        assert!(!failure.message.contains("Signature="), "{failure:?}");
    }
}

#[test]
fn each_refusal_has_its_reason() {
    check(error("403 Forbidden", "InvalidAccessKeyId", ""), Reason::Credentials, "refuses the credentials");
    check(
        error("403 Forbidden", "SignatureDoesNotMatch", ""),
        Reason::Credentials,
        "SignatureDoesNotMatch",
    );
    check(error("400 Bad Request", "ExpiredToken", ""), Reason::Credentials, "ExpiredToken");
    check(error("403 Forbidden", "RequestTimeTooSkewed", ""), Reason::Clock, "refuses the time");
    check(error("404 Not Found", "NoSuchBucket", ""), Reason::NoBucket, "no such bucket");
    check(error("403 Forbidden", "AccessDenied", ""), Reason::ReadOnly, "AccessDenied");
    let malformed = error("400 Bad Request", "AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>");
    check(malformed, Reason::Region, "it is in eu-west-3");
    let moved =
        answer("301 Moved", "x-amz-bucket-region: eu-north-1\r\nLocation: http://elsewhere/\r\n", "");
    check(moved, Reason::Region, "it is in eu-north-1");
}

#[test]
fn a_page_for_people_is_no_file_and_no_success() {
    let page = "<!doctype html><title>Log in</title>";
    let html = "Content-Type: text/html; charset=utf-8\r\n";
    let transport = bucket(answer("200 OK", html, page));
    for failure in [
        transport.get("format", 100).unwrap_err(),
        transport.get_range("format", 0, 5).unwrap_err(),
        transport.create("format", b"x").unwrap_err(),
        transport.put("hint", b"1").unwrap_err(),
    ] {
        assert_eq!(failure.reason, Reason::Page, "{failure:?}");
    }
    let web = HttpTransport::new(&server(answer("200 OK", html, page)), None).unwrap();
    assert_eq!(web.get("format", 100).unwrap_err().reason, Reason::Page);
    // The 404 of a web server is a page, and says that there is no file.
    let web = HttpTransport::new(&server(answer("404 Not Found", html, page)), None).unwrap();
    assert_eq!(web.get("format", 100), Ok(None));
}

#[test]
fn an_answer_that_is_cut_off_is_asked_for_again() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf";
    let failure = bucket(cut.to_owned()).get("format", 200).unwrap_err();
    assert!(failure.is_ambiguous, "{failure:?}");
    let long = answer("200 OK", "", &"x".repeat(500));
    assert!(!bucket(long).get("format", 100).unwrap_err().is_ambiguous);
    for (status, created) in [("200 OK", Created::New), ("412 Precondition Failed", Created::Taken)] {
        assert_eq!(bucket(answer(status, "", "")).create("x", b""), Ok(created));
    }
    for status in ["409 Conflict", "500 Internal Server Error", "503 Slow Down", "429 Too Many Requests"] {
        assert!(bucket(answer(status, "", "")).create("x", b"").unwrap_err().is_ambiguous, "{status}");
    }
}
