//! Tests the configuration of `roomer serve`: its sources, and its errors.

use crate::support::{TempFile, roomer, run, succeeds};

/// Invalid configurations. Each has the line and the key that the error must contain, and a part of
/// the remedy.
const MISTAKES: &[(&str, usize, &str, &str)] = &[
    ("listen = \"localhost\"", 1, "listen", "write 127.0.0.1:8080"),
    ("\n\nlisten = \"0.0.0.0:80\"", 3, "listen", "no login is configured"),
    ("anonymous = false", 1, "anonymous", "no login is configured"),
    ("listn = \"127.0.0.1:80\"", 1, "listn", "the keys are listen, path"),
    ("threads = 0", 1, "threads", "write 1 or more"),
    ("threads = 30000", 1, "threads", "write at most 1024"),
    ("threads = \"many\"", 1, "threads", "write digits"),
    ("threads = -1", 1, "threads", "write digits"),
    ("threads = 1e3", 1, "threads", "write digits"),
    ("threads = 99999999999999999999999", 1, "threads", "write digits"),
    ("path = \"ws\"", 1, "path", "must begin with /"),
    ("path = \"/ws/:id\"", 1, "path", "without parameters"),
    ("path = \"/live\"", 1, "path", "used twice"),
    ("path = \"/a?b\"", 1, "path", "neither ? nor #"),
    ("path = \"/a b\"", 1, "path", "write %20"),
    ("path = 1", 1, "path", "in quotation marks"),
    ("path = 2000-01-01", 1, "path", "is a date"),
    ("compat = \"yes\"", 1, "compat", "write true or false"),
    ("origins = [1]", 1, "origins", "a list of texts"),
    ("origins = [\"https://*.example.com\"]", 1, "origins", "without *"),
    ("origins = [\"example.com\"]", 1, "origins", "write it as https://example.com"),
    ("trust_proxy = [\"proxy\"]", 1, "trust_proxy", "write it as 10.0.0.1"),
    ("trust_proxy = [\"unix\"]", 1, "trust_proxy", "write the proxy's address"),
    ("proxy_protocol = true", 1, "proxy_protocol", "needs trust_proxy"),
    ("drain_rate = 0", 1, "drain_rate", "must not be 0"),
    ("limits = 3", 1, "limits", "write [limits]"),
    ("[limits]\nmax_room = 1", 2, "limits.max_room", "max_rooms"),
    ("[limits]\nmax_rooms = 0", 2, "limits.max_rooms", "must not be 0"),
    ("[limits]\nmax_message = 1", 2, "limits.max_message", "not be below 64"),
    ("[limits]\nmax_rooms = 0x10", 2, "limits.max_rooms", "decimal digits"),
    ("[limits]\nmax_rooms = [\"1\"]", 2, "limits.max_rooms", "not a list"),
    ("[limits.max_rooms]\nx = 1", 1, "limits.max_rooms", "not a section"),
    ("[limits]\nmax_message = \"64 KB\"", 2, "limits.max_message", "64 KiB"),
    ("[limits]\nmemory_budget = 1", 2, "limits.memory_budget", "must not be below"),
    (
        "[limits]\nmax_connections_per_address = 100001",
        2,
        "limits.max_connections_per_address",
        "write less",
    ),
    ("[rates]\nmessages = 0", 2, "rates.messages", "50 burst 200"),
    ("[rates]\nbytes = 5", 2, "rates.bytes", "must not be below max_message"),
    ("[timeouts]\nping = \"60s\"", 2, "timeouts.ping", "shorter than timeouts.silence"),
    ("[timeouts]\nwrite = \"1 week\"", 2, "timeouts.write", "500ms, 30s, 5m or 2h"),
    ("[tls]\ncertificate = \"/nowhere.pem\"", 2, "tls.certificate", "needs tls.key"),
    ("[tls]\nkey = \"/nowhere.pem\"", 2, "tls.key", "needs tls.certificate"),
    ("[tls]\ncertificate = \"/nowhere\"\nkey = \"/nowhere\"", 2, "tls.certificate", "No such file"),
    ("[log]\nformat = \"xml\"", 2, "log.format", "plain|json"),
    ("[cluster]\nurl = \"http://broker\"", 2, "cluster.url", "nats://"),
    (
        "[cluster]\nurl = \"nats://broker\"\nname = \"a b\"",
        3,
        "cluster.name",
        "the name of the cluster",
    ),
    ("[operator]\nlisten = \"9090\"", 2, "operator.listen", "write 127.0.0.1:8080"),
    ("[operator]\npage = true", 2, "operator.page", "write [[api_key]]"),
    ("[[room]]\npattern = \"a*b\"", 2, "room.pattern", "* at the end"),
    ("[[room]]\n\nhistory = 1", 1, "room", "missing field `pattern`"),
    ("[[room]]\npattern = \"a\"\nhistori = 1", 3, "room.histori", "expected one of `pattern`"),
    ("[[room]]\npattern = \"a\"\njoin = \"ann\"", 3, "room.join", "`all`, `users`, `token`"),
    ("[[room]]\npattern = \"a\"\nrate = 0", 3, "room.rate", "50 burst 200"),
    ("[[api_key]]\nname = \"a\"", 1, "api_key", "write either file"),
    ("[[api_key]]\nname = \"a\"\nsha256 = \"12\"", 1, "api_key", "64 hexadecimal digits"),
    ("[[api_key]]\nname = \"a\"\nfile = \"/nowhere\"", 1, "api_key", "No such file"),
    ("[[api_key]]\nname = \"a\"\nfile = \"/dev/null\"", 1, "api_key", "has 0 characters"),
    ("[[api_key]]\nname = \"a\"\nrights = [\"all\"]", 3, "api_key.rights", "`publish`, `read`"),
    ("[[api_key]]\nname = \"a\"\nrooms = [\"*a\"]", 3, "api_key.rooms", "* at the end"),
    ("\n[[api_key]]\nname = \"a\"\nfile = \"S\"", 2, "api_key", "write operator.listen"),
    (
        "[[room]]\npattern = \"*\"\njoin = \"all\"\n[[room]]\npattern = \"vip*\"\njoin = \"none\"",
        4,
        "room",
        "write this table above that one",
    ),
    (
        "[[room]]\npattern = \"a\"\n[[room]]\npattern = \"a\"\nrate = 1",
        3,
        "room",
        "write all rules",
    ),
    ("[[room]]\npattern = \"a\"\nhistory_for = \"users\"", 1, "room", "write history = 100"),
    ("[jwt]\nsecret = \"/nowhere\"", 2, "jwt.secret", "No such file"),
    ("[jwt]\njwks = \"http://a.example/\"", 2, "jwt.jwks", "write https://"),
    // Protections that would not work.
    ("[jwt]\nissuer = \"https://a.example\"", 2, "jwt.issuer", "write jwt.secret"),
    ("[jwt]\naudience = \"chat\"", 2, "jwt.audience", "write jwt.secret"),
    ("[jwt]\nrooms_claim = \"r\"", 2, "jwt.rooms_claim", "write jwt.secret"),
    ("anonymous = true\n[jwt]\nleeway = 1", 3, "jwt.leeway", "write jwt.secret"),
    ("[jwt]\nsecret = \"\"", 2, "jwt.secret", "all clients could connect"),
    ("[webhooks]\nauthorize = \"\"", 2, "webhooks.authorize", "all clients could connect"),
    (
        "[limits]\nmax_connections_per_user = 1",
        2,
        "limits.max_connections_per_user",
        "write the keys",
    ),
    ("[webhooks]\nrooms = [\"a\"]", 2, "webhooks.rooms", "webhooks.may_join"),
    ("[webhooks]\nheaders = [\"Cookie\"]", 2, "webhooks.headers", "webhooks.authorize"),
    ("[webhooks]\nkinds = [\"joined\"]", 2, "webhooks.kinds", "webhooks.events"),
    ("[cluster]\nnode = \"a\"", 2, "cluster.node", "cluster.url"),
    ("[cluster]\nname = \"a\"", 2, "cluster.name", "cluster.url"),
    ("extended = false\nclient_info = true", 2, "client_info", "remove one"),
    ("compat = true\n[limits]\nresume_buffer = 1", 3, "limits.resume_buffer", "remove one"),
    ("extended = false\n[[room]]\npattern = \"a\"\nhistory = 1", 2, "room", "remove history"),
    ("[webhooks]\nauthorize = \"https://a.example/\"", 2, "webhooks.authorize", "webhooks.secret"),
    ("[webhooks]\nsecret = \"/nowhere\"", 2, "webhooks.secret", "signs nothing"),
    ("[webhooks]\nsecret = \"/nowhere\"\nevents = \"https://a/\"", 2, "webhooks.secret", "No such"),
    (
        "[webhooks]\nsecret = \"/dev/null\"\nevents = \"https://a/\"",
        2,
        "webhooks.secret",
        "0 bytes",
    ),
    (
        "[webhooks]\nsecret = \"S\"\nauthorize = \"http://a/\"",
        3,
        "webhooks.authorize",
        "write https",
    ),
    (
        "[webhooks]\nsecret = \"S\"\nmay_join = \"a.example\"",
        3,
        "webhooks.may_join",
        "https://HOST",
    ),
    (
        "[webhooks]\nsecret = \"S\"\nevents = \"https://a:b@c/\"",
        3,
        "webhooks.events",
        "has a login",
    ),
    (
        "[webhooks]\nsecret = \"S\"\nauthorize = \"https://a/\"\nheaders = [\"a b\"]",
        4,
        "webhooks.headers",
        "such as Cookie",
    ),
    (
        "[webhooks]\nsecret = \"S\"\nevents = \"https://a/\"\nqueue = 0",
        4,
        "webhooks.queue",
        "not be 0",
    ),
    (
        "[webhooks]\nkinds = [\"join\"]",
        2,
        "webhooks.kinds",
        "connected|joined|left|disconnected|message",
    ),
    (
        "[webhooks]\nsecret = \"S\"\nevents = \"https://a/\"\nmessage_events = [\"a\"]",
        4,
        "webhooks.message_events",
        "write \"message\" in webhooks.kinds",
    ),
    ("[webhooks]\nrooms = [\"*a\"]", 2, "webhooks.rooms", "* at the end"),
    (
        "[jwt]\nsecret = \"S\"\n[webhooks]\nsecret = \"S\"\nauthorize = \"https://a/\"",
        5,
        "webhooks.authorize",
        "[jwt] decide",
    ),
    (
        "anonymous = true\n[webhooks]\nsecret = \"S\"\nauthorize = \"https://a/\"",
        1,
        "anonymous",
        "remove one",
    ),
    ("[[room]]\npattern = \"a\"\npresence = \"none\"", 3, "room.presence", "`count`, `off`"),
    ("[[room]]\npattern = \"a\"\nhistory_age = \"x\"", 3, "room.history_age", "is not a time"),
    ("[[room]]\npattern = \"a\"\nhistory_age = -1", 3, "room.history_age", "is not a time"),
    ("[[room]]\npattern = \"a\"\nrate = 0.5", 3, "room.rate", "50 burst 200"),
    ("[[room]]\npattern = \"a\"\nrate = true", 3, "room.rate", "a number, or text"),
    ("[[room]]\npattern = \"a\"\ndeflate = \"yes\"", 3, "room.deflate", "such as 512, or off"),
    ("[[room]]\npattern = \"a\"\nhistory_age = \"1h\"", 1, "room", "write history = 100"),
    ("[room]\npattern = \"a\"", 1, "room", "write [[room]]"),
    (
        "path = \"/a\"\norigins = [\"https://a.example\", \"any\"]",
        2,
        "origins",
        "write \"any\" alone",
    ),
    (
        "[operator]\nlisten = \"127.0.0.1:9\"\n[[api_key]]\nname = \"a\"\nfile = \"S\"\nrights = []",
        3,
        "api_key",
        "remove rights to grant all three",
    ),
    (
        "[webhooks]\nsecret = \"S\"\nevents = \"https://a.example/\"\nkinds = []",
        4,
        "webhooks.kinds",
        "write kinds",
    ),
    (
        "[operator]\nlisten = \"127.0.0.1:9\"\n[[api_key]]\nname = \"a\"\nfile = \"S\"\nrooms = []",
        3,
        "api_key",
        "remove rooms to permit all",
    ),
    ("[operator]\nlisten = \"127.0.0.1:8080\"", 2, "operator.listen", "another port"),
    (
        "listen = \"127.0.0.1:80\"\n[operator]\nlisten = \"0.0.0.0:80\"",
        3,
        "operator.listen",
        "another port",
    ),
    ("[[room]]\npattern = \"root\"\njoin = \"none\"", 1, "room", "publish = \"none\""),
    ("[[room]]\npattern = \"root\"\njoin_rate = 1", 1, "room", "have no effect in root"),
    ("[[room]]\npattern = \"a\"\nhistory = \"many\"", 3, "room.history", "write digits"),
    ("[[room]]\npattern = 1", 2, "room.pattern", "write text in quotation marks"),
    ("[[api_key]]\nname = \"a\"\nrooms = \"a\"", 3, "api_key.rooms", "write a list"),
    ("listen = 127.0.0.1:8080", 1, "", "write text in quotation marks"),
    ("listen = [", 1, "", "unclosed array"),
    ("a = 1\na = 2", 2, "", "duplicate key"),
];

#[test]
fn each_mistake_is_reported_with_line_key_and_remedy() {
    let secret = TempFile::new("secret", "x".repeat(32));
    for (text, line, key, words) in MISTAKES {
        let text = text.replace("\"S\"", &format!("{:?}", secret.path()));
        let file = TempFile::new("mistake.toml", &text);
        for command in ["check", "serve"] {
            let done = run(&[command, file.path()]);
            let error = String::from_utf8(done.stderr).unwrap();
            assert_eq!(done.status.code(), Some(2), "{text:?}: {error}");
            let start = match *key {
                "" => format!("roomer: {}:{line}: ", file.path()),
                key => format!("roomer: {}:{line}: {key}: ", file.path()),
            };
            let found = error.lines().any(|line| line.starts_with(&start) && line.contains(words));
            assert!(found, "{text:?} should be {start}…{words}, but is {error}");
        }
    }
}

#[test]
fn all_mistakes_are_reported_in_file_order() {
    let file = TempFile::new("mistakes.toml", "x = 1\nthreads = \"y\"\n[limits]\nz = 1\n");
    let mut check = roomer(&["check", file.path(), "--log-level", "loud"]);
    let done = check.env("ROOMER_TIMEOUTS_PIN", "1").env("ROOMER_PATH", "no").output().unwrap();
    let error = String::from_utf8(done.stderr).unwrap();
    let places: Vec<_> = error
        .lines()
        .map(|line| line.trim_start_matches("roomer: ").trim_start_matches(file.path()))
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    let expected = [":1", ":2", ":4", "environment variable ROOMER_TIMEOUTS_PIN", "--log-level"];
    assert_eq!(places, expected, "{error}");
}

#[test]
fn mistakes_are_escaped_and_reported_as_json_on_request() {
    let file = TempFile::new("escape.toml", "path = \"\\u001b[2J\"");
    let error = String::from_utf8(run(&["check", file.path()]).stderr).unwrap();
    assert!(!error.contains('\u{1b}'), "{error:?}");
    let error = run(&["check", file.path(), "--json"]).stderr;
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&error).unwrap()["on"], "failure");
    // Use paths that do not lead to a configuration file.
    for path in ["/", "/nowhere", "/dev/zero"] {
        assert_eq!(run(&["check", path]).status.code(), Some(2), "{path}");
    }
    let bytes = TempFile::new("bytes.toml", [0xff, 0xfe]);
    assert_eq!(run(&["check", bytes.path()]).status.code(), Some(2));
}

#[test]
fn flags_override_variables_and_variables_override_file() {
    let file =
        TempFile::new("sources.toml", "path = \"/a\"\n[limits]\nmax_rooms = 1\nmax_name = 9\n");
    let mut print = roomer(&["serve", file.path(), "--print-config", "--limits-max-name", "7"]);
    print.env("ROOMER_LIMITS_MAX_ROOMS", "2").env("ROOMER_LIMITS_MAX_NAME", "8");
    // Variables of other programs, such as Kubernetes, must be ignored.
    print.env("ROOMER_PORT", "tcp://10.0.0.1:80").env("ROOMER_TOKEN", "x");
    let printed = succeeds(&print.output().unwrap());
    assert!(printed.contains(&format!("path = \"/a\" # {}:1\n", file.path())), "{printed}");
    assert!(printed.contains("max_rooms = 2 # environment variable ROOMER_LIMITS_MAX_ROOMS\n"));
    assert!(printed.contains("max_name = \"7\" # --limits-max-name\n"), "{printed}");
}

#[test]
fn printed_configuration_has_same_effect() {
    let text = "origins = [\"https://a.example\", \"https://b.example\"]\npath = \"/ä\\\"\\\\\"\n\
                [cluster]\nurl = \"nats://127.0.0.1\"\nnode = \"123\"\n[[room]]\npattern = \"news*\"\npresence = \"count\"\n\
                history = 5\nhistory_age = \"90s\"\nhistory_bytes = \"1 KiB\"\ndeflate = 512\n\
                [[room]]\npattern = \"*\"\ndeflate = \"off\"\nhistory = 3\nhistory_age = 1.5\n";
    let file = TempFile::new("whole.toml", text);
    let printed = succeeds(&run(&["serve", file.path(), "--print-config", "--threads", "2"]));
    let again = TempFile::new("again.toml", &printed);
    succeeds(&run(&["check", again.path()]));
    let twice = succeeds(&run(&["serve", again.path(), "--print-config"]));
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split(" # ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(values(&printed), values(&twice));
    assert!(values(&printed).contains(&"threads = 2".to_owned()));
}

#[test]
fn printed_configuration_of_defaults_is_accepted() {
    let printed = succeeds(&run(&["serve", "--print-config"]));
    succeeds(&run(&["check", TempFile::new("defaults.toml", printed).path()]));
}

#[test]
fn empty_login_variable_does_not_open_server() {
    let check = |arguments: &[&str]| {
        let mut check = roomer(&[&["check"], arguments].concat());
        check.env("ROOMER_JWT_SECRET", "").output().unwrap()
    };
    let error = String::from_utf8(check(&[]).stderr).unwrap();
    assert!(error.contains("ROOMER_JWT_SECRET: jwt.secret: is empty"), "{error}");
    succeeds(&check(&["--anonymous", "true"]));
}

#[test]
fn variables_of_services_are_ignored_and_misspelled_ones_rejected() {
    // Kubernetes sets these for a service `roomer-operator`.
    let mut check = roomer(&["check"]);
    check.env("ROOMER_OPERATOR_SERVICE_HOST", "10.0.0.1");
    check
        .env("ROOMER_OPERATOR_SERVICE_PORT", "9090")
        .env("ROOMER_OPERATOR_PORT", "tcp://10.0.0.1:9090");
    check.env("ROOMER_OPERATOR_PORT_9090_TCP_ADDR", "10.0.0.1");
    succeeds(&check.output().unwrap());
    let error = roomer(&["check"]).env("ROOMER_ORIGIN", "https://a.example").output().unwrap();
    let text = String::from_utf8(error.stderr).unwrap();
    assert_eq!(error.status.code(), Some(2), "{text}");
    assert!(text.contains("ROOMER_ORIGIN: unknown: write ROOMER_ORIGINS"), "{text}");
}

#[test]
fn paths_in_file_are_relative_to_its_folder() {
    let secret = TempFile::new("secret", "x".repeat(32));
    let name = secret.0.file_name().unwrap().to_str().unwrap();
    let file = |name: &str| {
        let listen = "[operator]\nlisten = \"127.0.0.1:9\"\n";
        let keys = format!("[[api_key]]\nname = \"a\"\nfile = {name:?}\n");
        TempFile::new("paths.toml", format!("{listen}[jwt]\nsecret = {name:?}\nkeys = []\n{keys}"))
    };
    let (good, bad) = (file(name), file("nowhere"));
    succeeds(&roomer(&["check", good.path()]).current_dir("/").output().unwrap());
    let printed = succeeds(&run(&["serve", good.path(), "--print-config"]));
    assert_eq!(printed.matches(&format!("= {:?}", secret.path())).count(), 2, "{printed}");
    // A flag is relative to the working directory.
    let folder = secret.0.parent().unwrap();
    let mut check = roomer(&["check", "--jwt-secret", name, "--anonymous", "true"]);
    succeeds(&check.current_dir(folder).output().unwrap());
    let error = String::from_utf8(run(&["check", bad.path()]).stderr).unwrap();
    assert!(
        error.contains(&format!("{}: No such file", folder.join("nowhere").display())),
        "{error}"
    );
}

#[test]
fn broker_login_is_not_printed() {
    let url = "nats://ann:hunter2@broker.example";
    let printed = succeeds(&run(&["serve", "--print-config", "--cluster-url", url]));
    assert!(printed.contains("broker.example") && !printed.contains("hunter2"), "{printed}");
    let error = run(&["check", "--cluster-url", "http://ann:hunter2@broker"]).stderr;
    assert!(!String::from_utf8(error).unwrap().contains("hunter2"));
}

#[test]
fn documented_file_and_mistake_are_accurate() {
    let page = include_str!("../SERVER.md");
    let block = |kind: &str| {
        let rest = page.split(&format!("```{kind}\n")).nth(1).unwrap();
        rest.split("```").next().unwrap()
    };
    for text in page.split("```toml\n").skip(1) {
        let text = text.split("```").next().unwrap();
        let secret = TempFile::new("secret", "x".repeat(32));
        let key = TempFile::new("key.pem", include_bytes!("support/keys/rsa.pem"));
        let text = text.replace("/etc/roomer/secret", secret.path());
        let text = text.replace("/etc/roomer/backend.key", secret.path());
        let text = text.replace("/etc/roomer/webhooks", secret.path());
        let text = text.replace("/etc/roomer/public.pem", key.path());
        succeeds(&run(&["check", TempFile::new("page.toml", text).path()]));
    }
    let mistake = "\n\n\n\n\n[limits]\nmax_message = \"64 KB\"\n";
    let file = TempFile::new("mistake.toml", mistake);
    let error = String::from_utf8(run(&["check", file.path()]).stderr).unwrap();
    assert_eq!(error.replace(file.path(), "roomer.toml"), block("text"));
}
