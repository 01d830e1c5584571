//! What is measured, asked of Prometheus.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use crate::Timestamp;
use crate::rollout::{Answer, Observations, Question};

/// How long all answers together may take, unless [`Prometheus::patience`] says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many questions are under way at once.
const AT_ONCE: usize = 8;
/// What an answer may weigh, in bytes: Prometheus gives 11,000 points at most, and one series is all that is of use.
const MOST_BYTES: usize = 4 << 20;
/// How much of what others write about an error is passed on.
const MOST_WORDS: usize = 300;

/// A Prometheus, or what speaks its HTTP API.
///
/// What it does not know is no error: an [`Answer`] has no data then, and says why.
///
/// ```no_run
/// # async fn ask(plan: flagstone::rollout::Plan, progress: flagstone::rollout::Progress) -> Result<(), String> {
/// use flagstone::Timestamp;
/// use flagstone::controller::Prometheus;
///
/// let prometheus = Prometheus::new("http://127.0.0.1:9090", None)?;
/// let observations = prometheus.ask(&plan.questions(&progress, "production", Timestamp::now())).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Prometheus {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
    patience: Duration,
}

impl Prometheus {
    /// One at a URL, such as `http://127.0.0.1:9090` or `https://example.com/prometheus`. It is asked with the bearer token,
    /// or with the user and password in the URL.
    ///
    /// # Errors
    ///
    /// A text that is no such URL, and a token that cannot stand in a header. The message repeats neither.
    pub fn new(url: &str, token: Option<String>) -> Result<Prometheus, String> {
        let mut url = Url::parse(url)
            .map_err(|error| format!("this is no URL of a Prometheus: {error}; write it like http://127.0.0.1:9090"))?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            let message = "a URL of a Prometheus begins with http:// or https:// and has no ? and no #";
            return Err(message.to_owned());
        }
        let path = format!("{}/api/v1/query_range", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let authorization = token.map(|token| {
            let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| "the token for Prometheus has characters that no token has".to_owned())?;
            header.set_sensitive(true);
            Ok::<_, String>(header)
        });
        let client = Client::builder()
            .user_agent(concat!("flagstone/", env!("CARGO_PKG_VERSION")))
            // A question that is sent on loses its body, and a token has no business elsewhere.
            .redirect(Policy::none())
            .build()
            .map_err(|error| format!("no connections to Prometheus can be made: {}", because(&error)))?;
        Ok(Prometheus { client, url, authorization: authorization.transpose()?, patience: PATIENCE })
    }

    /// For how long to wait for all answers to what is asked at once: 10 seconds, unless this says otherwise.
    pub fn patience(self, patience: Duration) -> Prometheus {
        Prometheus { patience, ..self }
    }

    /// Asks all of the questions, several at once. There is an answer to each, if only that there is no data, and why.
    ///
    /// An answer holds numbers at the instants of its question, `from` and every `step` after it up to `to`, and at each the newest
    /// of those since the instant before: there are others than Prometheus that answer for instants of their own.
    pub async fn ask(&self, questions: &[Question]) -> Observations {
        // For all of them, so that a decision waits no longer where there is more to ask.
        let deadline = Instant::now() + self.patience;
        // Their own copies, for a future that holds references to them cannot be handed to a server.
        let asked = questions.iter().cloned().map(|question| async move {
            let answer = match tokio::time::timeout_at(deadline, self.ask_one(&question)).await {
                Ok(answer) => answer.unwrap_or_else(Answer::failed),
                Err(_) => Answer::failed(format!("Prometheus gave no answer within {:?}", self.patience)),
            };
            ((question.metric, question.part), Answer { query: Some(question.query), ..answer })
        });
        futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await
    }

    async fn ask_one(&self, question: &Question) -> Result<Answer, String> {
        let seconds = |millis: i64| format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000));
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("query", &question.query)
            .append_pair("start", &seconds(question.from.as_millis()))
            .append_pair("end", &seconds(question.to.as_millis()))
            .append_pair("step", &seconds(question.step.millis().cast_signed()))
            // So that it does not go on for nobody.
            .append_pair("timeout", &format!("{}ms", self.patience.as_millis().max(1)))
            .finish();
        let mut request = self.client.post(self.url.clone()).body(body);
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let response = request
            .send()
            .await
            .map_err(|error| format!("Prometheus cannot be asked: {}", because(&error.without_url())))?;
        let status = response.status();
        let body = read(response).await?;
        let body: Result<Body, _> = serde_json::from_slice(&body);
        match body {
            Ok(Body { error: Some(error), error_type, .. }) => {
                let kind = error_type.map_or(String::new(), |kind| format!("{kind}: "));
                Err(brief(format!("Prometheus answered {}: {kind}{error}", status.as_u16())))
            }
            _ if !status.is_success() => Err(refused(status)),
            Err(error) => Err(format!("this is no answer of a Prometheus: {error}")),
            Ok(Body { data: None, .. }) => Err("this is no answer of a Prometheus: it has no `data`".to_owned()),
            Ok(Body { data: Some(data), warnings, .. }) => {
                let answer = answer(question, data)?;
                let warned =
                    (!warnings.is_empty()).then(|| brief(format!("Prometheus warns: {}", warnings.join("; "))));
                Ok(Answer { problem: answer.problem.or(warned), ..answer })
            }
        }
    }
}

// The URL may hold a password.
impl fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prometheus").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

fn refused(status: StatusCode) -> String {
    let hint = match status.as_u16() {
        300..=399 => "; it is elsewhere: give that URL",
        401 | 403 => "; it wants another token",
        404 | 405 => "; is this the URL of a Prometheus?",
        _ => "",
    };
    format!("Prometheus answered {}{hint}", status.as_u16())
}

/// Reads an answer of bounded size.
async fn read(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MOST_BYTES => body.extend_from_slice(&chunk),
            Ok(Some(_)) => {
                return Err(format!(
                    "Prometheus answers with more than {MOST_BYTES} bytes; does the query find many series?"
                ));
            }
            Ok(None) => return Ok(body),
            Err(error) => return Err(format!("Prometheus broke off its answer: {}", because(&error.without_url()))),
        }
    }
}

/// An answer of the HTTP API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    data: Option<Data>,
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "camelCase")]
enum Data {
    Matrix(Vec<Series>),
    Vector(Vec<Series>),
    Scalar(Point),
    String(IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    values: Vec<Point>,
    value: Option<Point>,
}

/// Seconds since 1970, and a number, which JSON could not hold if it is none.
type Point = (f64, String);

/// The numbers of the one series that a query finds; none where it finds no series.
fn points(data: Data) -> Result<Option<Vec<(f64, f64)>>, String> {
    let points = match data {
        Data::Scalar(point) => vec![point],
        Data::Matrix(series) | Data::Vector(series) => match <[Series; 1]>::try_from(series) {
            Ok([Series { mut values, value }]) => {
                values.extend(value);
                values
            }
            Err(none) if none.is_empty() => return Ok(None),
            Err(several) => {
                let many = several.len();
                return Err(format!("the query finds {many} series, not one; bring them together, as by sum()"));
            }
        },
        Data::String(_) => return Err("the query gives a text, not a number".to_owned()),
    };
    if points.is_empty() {
        return Err("the query gives no numbers; of a histogram take histogram_quantile()".to_owned());
    }
    let parsed = points.into_iter().map(|(seconds, number)| match number.parse() {
        Ok(parsed) => Ok((seconds, parsed)),
        Err(_) => Err(brief(format!("{number:?} is no number of Prometheus"))),
    });
    parsed.collect::<Result<_, _>>().map(Some)
}

/// The numbers of an answer that somebody saved.
pub(super) fn saved(json: &[u8]) -> Result<Vec<(Timestamp, f64)>, String> {
    let no_answer = |why: &str| format!("this is no answer of a Prometheus: {why}");
    let body: Body = serde_json::from_slice(json).map_err(|error| no_answer(&error.to_string()))?;
    if let Some(error) = body.error {
        return Err(brief(format!("Prometheus answered: {error}")));
    }
    let found = points(body.data.ok_or_else(|| no_answer("it has no `data`"))?)?.unwrap_or_default();
    Ok(found.into_iter().map(|(seconds, number)| (instant(seconds), number)).collect())
}

fn answer(question: &Question, data: Data) -> Result<Answer, String> {
    let Some(points) = points(data)? else { return Ok(Answer::none("the query finds no series")) };
    let mut numbers = BTreeMap::new();
    for (seconds, number) in points {
        if let Some(at) = place(question, seconds) {
            numbers.insert(at, number);
        }
    }
    let newest = question.ago.after(question.to);
    let problem = match numbers.get(&newest) {
        Some(number) if number.is_finite() => None,
        Some(number) => Some(format!("the newest number is {number}")),
        None => Some("the query gives no number for now".to_owned()),
    };
    numbers.retain(|_, number| number.is_finite());
    Ok(Answer { points: numbers, problem, ..Answer::default() })
}

fn instant(seconds: f64) -> Timestamp {
    // Whole milliseconds of many thousand years are exact.
    Timestamp::from_millis((seconds * 1000.0).round() as i64)
}

/// The instant of the question's that a point is for: the first that is not before it.
fn place(question: &Question, seconds: f64) -> Option<Timestamp> {
    let step = question.step.millis().cast_signed().max(1);
    let after = instant(seconds).as_millis().checked_sub(question.from.as_millis())?;
    let steps = after.checked_add(step - 1)?.div_euclid(step);
    let at = question.from.plus_millis(steps.checked_mul(step)?);
    (steps >= 0 && at <= question.to).then(|| question.ago.after(at))
}

/// An error with what caused it.
pub(super) fn because(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    brief(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

/// Not more than anyone reads.
fn brief(text: String) -> String {
    match text.char_indices().nth(MOST_WORDS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::rollout::{Part, Period};

    /// A server that answers each request with the same, and passes on what it was asked.
    fn server(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap());
        let (sender, asked) = channel();
        let answer = std::sync::Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, sender, answer) = (stream.unwrap(), sender.clone(), answer.clone());
                std::thread::spawn(move || {
                    let _ = sender.send(request(&mut stream));
                    answer(&mut stream);
                });
            }
        });
        (url, asked)
    }

    fn request(stream: &mut TcpStream) -> String {
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        loop {
            let read = stream.read(&mut buffer).unwrap();
            text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            let length = |head: &str| {
                let line = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
                line.parse::<usize>().ok()
            };
            match text.split_once("\r\n\r\n") {
                Some((head, body)) if body.len() >= length(head).unwrap_or_default() => return text,
                _ if read == 0 => return text,
                _ => {}
            }
        }
    }

    fn says(status: &str, body: &str) -> impl Fn(&mut TcpStream) + Send + Sync + 'static {
        let (length, close) = (body.len(), "connection: close");
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{close}\r\n\r\n{body}");
        move |stream| drop(stream.write_all(answer.as_bytes()))
    }

    /// Four instants from 1000.5 s to 1002 s, and the same a day ago.
    fn questions() -> [Question; 2] {
        let at = Timestamp::from_millis;
        let question = |part, ago: u64| Question {
            metric: "errors".to_owned(),
            part,
            query: "sum(rate(failed{system=\"new\"}[5m])) & more".to_owned(),
            from: Period::from_millis(ago).before(at(1_000_500)),
            to: Period::from_millis(ago).before(at(1_002_000)),
            step: Period::from_millis(500),
            ago: Period::from_millis(ago),
        };
        [question(Part::Value, 0), question(Part::Baseline, 500_000)]
    }

    fn ask(url: &str, token: Option<&str>, patience: Duration) -> Observations {
        let prometheus = Prometheus::new(url, token.map(str::to_owned)).unwrap().patience(patience);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(prometheus.ask(&questions()))
    }

    /// What comes of it where Prometheus answers so.
    fn value(server: (String, Receiver<String>)) -> Answer {
        ask(&server.0, None, Duration::from_secs(60)).remove(&("errors".to_owned(), Part::Value)).unwrap()
    }

    fn matrix(series: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}"#)
    }

    fn points(answer: &Answer) -> Vec<(i64, f64)> {
        answer.points.iter().map(|(at, number)| (at.as_millis(), *number)).collect()
    }

    #[test]
    fn numbers_are_found_at_the_instants_that_were_asked_for() {
        let series = r#"{"metric":{},"values":[[1000.5,"0.25"],[1001,"1e-3"],[1001.5,"0"],[1002.000,"7"]]}"#;
        let answer = value(server(says("200 OK", &matrix(series))));
        assert_eq!(answer.problem, None);
        assert_eq!(points(&answer), [(1_000_500, 0.25), (1_001_000, 0.001), (1_001_500, 0.0), (1_002_000, 7.0)]);
    }

    #[test]
    fn a_baseline_of_some_time_ago_is_read_as_if_it_was_of_now() {
        let (url, _asked) = server(says("200 OK", &matrix(r#"{"values":[[500.5,"1"],[502,"2"],[1002,"3"]]}"#)));
        let answers = ask(&url, None, Duration::from_secs(60));
        let answer = &answers[&("errors".to_owned(), Part::Baseline)];
        assert_eq!(points(answer), [(1_000_500, 1.0), (1_002_000, 2.0)]);
    }

    #[test]
    fn who_answers_for_instants_of_their_own_is_understood() {
        let series = r#"{"values":[[998,"9"],[1000,"9"],[1000.499,"1"],[1000.9994,"2"],[1001.4,"3"],[1001.9,"4"],[1002.1,"9"]]}"#;
        let answer = value(server(says("200 OK", &matrix(series))));
        assert_eq!(points(&answer), [(1_000_500, 1.0), (1_001_000, 2.0), (1_001_500, 3.0), (1_002_000, 4.0)]);
        let other = |kind: &str, result: &str| {
            let body = format!(r#"{{"data":{{"resultType":"{kind}","result":{result}}}}}"#);
            points(&value(server(says("200 OK", &body))))
        };
        assert_eq!(other("scalar", r#"[1002,"5"]"#), [(1_002_000, 5.0)]);
        assert_eq!(other("vector", r#"[{"metric":{},"value":[1002,"5"]}]"#), [(1_002_000, 5.0)]);
    }

    #[test]
    fn what_is_no_number_is_no_data() {
        let values = r#"{"values":[[1000.5,"NaN"],[1001,"+Inf"],[1001.5,"3"],[1002,"-Inf"]]}"#;
        let answer = value(server(says("200 OK", &matrix(values))));
        assert_eq!(points(&answer), [(1_001_500, 3.0)]);
        assert_eq!(answer.problem.as_deref(), Some("the newest number is -inf"));
        let stale = value(server(says("200 OK", &matrix(r#"{"values":[[1001.5,"3"]]}"#))));
        assert_eq!((points(&stale).len(), stale.problem.as_deref()), (1, Some("the query gives no number for now")));
    }

    #[test]
    fn what_prometheus_warns_of_is_passed_on() {
        let body = matrix(r#"{"values":[[1002,"3"]]}"#).replace("\"status\"", "\"warnings\":[\"half\"],\"status\"");
        let answer = value(server(says("200 OK", &body)));
        assert_eq!((points(&answer).len(), answer.problem.as_deref()), (1, Some("Prometheus warns: half")));
    }

    #[test]
    fn each_kind_of_failure_is_no_data_and_says_which() {
        let one = r#"{"values":[[1002,"1"]]}"#;
        let huge = matrix(&vec![r#"{"metric":{"instance":"some.long.name:9090"},"values":[]}"#; 100_000].join(","));
        for (status, body, problem) in [
            ("200 OK", matrix(""), "finds no series"),
            ("200 OK", matrix(&[one; 3].join(",")), "finds 3 series"),
            ("200 OK", matrix("{}"), "histogram_quantile"),
            ("200 OK", matrix(r#"{"values":[[1002,"many"]]}"#), r#""many" is no number"#),
            ("200 OK", matrix(r#"{"values":[[1002,5]]}"#), "no answer of a Prometheus: invalid type"),
            ("200 OK", r#"{"data":{"resultType":"string","result":[1,"x"]}}"#.to_owned(), "a text, not a number"),
            ("200 OK", r#"{"data":{"resultType":"heap","result":[]}}"#.to_owned(), "unknown variant `heap`"),
            ("200 OK", r#"{"status":"success"}"#.to_owned(), "it has no `data`"),
            ("200 OK", "<html>".to_owned(), "no answer of a Prometheus"),
            ("200 OK", String::new(), "no answer of a Prometheus"),
            ("200 OK", huge, "more than 4194304 bytes"),
            (
                "400 Bad Request",
                r#"{"status":"error","errorType":"bad_data","error":"parse error: unexpected \"&\""}"#.to_owned(),
                "answered 400: bad_data: parse error: unexpected",
            ),
            ("401 Unauthorized", "no".to_owned(), "answered 401; it wants another token"),
            ("302 Found\r\nlocation: http://127.0.0.1:1/", String::new(), "answered 302; it is elsewhere"),
            ("503 Service Unavailable", "<html>".to_owned(), "answered 503"),
            ("500 Internal Server Error", matrix(one), "answered 500"),
        ] {
            let answer = value(server(says(status, &body)));
            let said = answer.problem.unwrap_or_default();
            assert!(answer.points.is_empty() && said.contains(problem), "{status} {body:.200}: {said}");
        }
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let silent = server(|_| {
            loop {
                std::thread::park();
            }
        });
        let slow = server(|stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
            while stream.write_all(b" ").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        for (url, _asked) in [silent, slow] {
            let answers = ask(&url, None, Duration::from_millis(300));
            assert_eq!(answers.len(), 2);
            for answer in answers.values() {
                let known = (answer.points.len(), answer.problem.as_deref());
                assert_eq!(known, (0, Some("Prometheus gave no answer within 300ms")));
            }
        }
    }

    #[test]
    fn who_breaks_off_and_who_is_not_there_is_no_data() {
        let broken = server(|stream| {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"));
        });
        let said = value(broken).problem.unwrap();
        assert!(said.contains("broke off its answer"), "{said}");
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (_, nothing) = channel();
        let said = value((format!("http://ana:secret@{closed}"), nothing)).problem.unwrap();
        assert!(said.contains("cannot be asked") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn it_is_asked_as_prometheus_wants_it() {
        let (url, asked) = server(says("200 OK", &matrix("")));
        ask(&url, Some("a-secret"), Duration::from_secs(60));
        let asked: Vec<String> = [asked.recv().unwrap(), asked.recv().unwrap()].into();
        for (line, start) in [("start=1000.500&end=1002.000&step=0.500", 0), ("start=500.500&end=502.000", 1)] {
            assert!(asked.iter().any(|asked| asked.contains(line)), "{start}: {asked:?}");
        }
        for asked in &asked {
            assert!(asked.starts_with("POST /base/api/v1/query_range HTTP/1.1\r\n"), "{asked}");
            assert!(asked.contains("\r\nauthorization: Bearer a-secret\r\n"), "{asked}");
            assert!(
                asked.contains("query=sum%28rate%28failed%7Bsystem%3D%22new%22%7D%5B5m%5D%29%29+%26+more&"),
                "{asked}"
            );
        }
    }

    #[test]
    fn questions_are_asked_several_at_once_but_not_all() {
        let under_way = std::sync::Arc::new(std::sync::Mutex::new((0, 0)));
        let counting = under_way.clone();
        let (url, _asked) = server(move |stream| {
            {
                let mut under_way = counting.lock().unwrap();
                under_way.0 += 1;
                under_way.1 = under_way.1.max(under_way.0);
            }
            std::thread::sleep(Duration::from_millis(100));
            counting.lock().unwrap().0 -= 1;
            says("200 OK", &matrix(r#"{"values":[[1002,"1"]]}"#))(stream);
        });
        let [question, _] = questions();
        let many: Vec<Question> =
            (0..30).map(|number| Question { metric: format!("metric-{number}"), ..question.clone() }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answers =
            runtime.block_on(Prometheus::new(&url, None).unwrap().patience(Duration::from_secs(60)).ask(&many));
        assert_eq!(answers.len(), 30);
        assert!(answers.values().all(|answer| answer.problem.is_none()), "{answers:?}");
        let most = under_way.lock().unwrap().1;
        assert!((2..=AT_ONCE).contains(&most), "{most}");
    }

    #[test]
    fn bad_urls_and_tokens_are_refused_without_repeating_them() {
        for (url, token) in [
            ("prometheus:9090", None),
            ("", None),
            ("ftp://ana:secret@127.0.0.1", None),
            ("http://127.0.0.1/?token=secret", None),
            ("http://127.0.0.1:9090", Some("secret\n")),
        ] {
            let error = Prometheus::new(url, token.map(str::to_owned)).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        let shown = format!("{:?}", Prometheus::new("http://ana:secret@127.0.0.1", Some("secret".to_owned())).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
