//! Quotas of projects and keys.

use super::*;

/// A project with a key, each with these lines.
fn project_with(project: &str, key: &str) -> String {
    format!(
        "[[project]]\ntoken = \"t\"\n{project}\n[[project.key]]\npublic = \"p\"\npermissions = []\n{key}\n"
    )
}

#[test]
fn a_project_and_a_key_may_have_a_quota_and_have_none_by_default() {
    let config = file(&project_with("", "")).unwrap();
    let project = config.projects.first().unwrap();
    assert_eq!(
        (project.rate_limit, project.keys[0].rate_limit),
        (None, None)
    );
    let text = project_with(
        "rate_limit = { requests = 100 }",
        "[project.key.rate_limit]\nrequests = 7\nperiod = \"1h\"\nburst = 3",
    );
    let config = file(&text).unwrap();
    let project = config.projects.first().unwrap();
    let quota = |requests, period, burst| {
        let count = |count| NonZeroU32::new(count).unwrap();
        Quota::new(count(requests), period, count(burst)).ok()
    };
    assert_eq!(project.rate_limit, quota(100, Duration::from_mins(1), 100));
    assert_eq!(
        project.keys[0].rate_limit,
        quota(7, Duration::from_hours(1), 3)
    );
}

#[test]
fn mistakes_in_the_quota_of_a_project_or_key_name_the_field() {
    for (line, mistake) in [
        (
            "rate_limit = { requests = 0 }",
            "rate_limit.requests (line 3): 0 is not a whole number",
        ),
        (
            "rate_limit = { period = \"1m\" }",
            "rate_limit.requests (line 3): missing",
        ),
        (
            "rate_limit = { requests = 1, slots = 1 }",
            "rate_limit.slots (line 3): unknown key",
        ),
        (
            "rate_limit = 6000",
            "rate_limit (line 3): 6000 is not a table, expected { requests = 6000, .. }",
        ),
        (
            "rate_limit = { requests = 1, period = \"2d\" }",
            "rate_limit.period (line 3): 172800s is no quota",
        ),
        (
            "rate_limit = { requests = 2, period = \"1d\", burst = 15 }",
            "rate_limit.burst (line 3): 15 at 2 every 86400s is no quota",
        ),
    ] {
        let of_key = format!("project[1].key[1].{}", mistake.replace("line 3", "line 7"));
        has(
            file(&project_with(line, "")),
            &format!("project[1].{mistake}"),
        );
        has(file(&project_with("", line)), &of_key);
    }
}

#[test]
fn a_quota_that_cannot_be_kept_is_a_mistake_like_any_other() {
    let fast = file("[rate_limit]\nrequests = 100\nperiod = \"1ms\"\nlisten = 1");
    assert!(lines(fast).len() == 1, "100 in a millisecond are allowed");
    let mistaken = "[rate_limit]\nrequests = 1001\nperiod = \"1ms\"\n[[rate_limit.override]]\ncidr = \"10.0.0.0/8\"\nrequests = 1\nperiod = \"2d\"";
    has(
        file(mistaken),
        "rate_limit.requests (line 2): 1001 every 1ms is no quota: more than 1,000,000 requests a second",
    );
    has(
        file(mistaken),
        "rate_limit.override[1].period (line 7): 172800s is no quota",
    );
    has(
        variables(&[("FOOTFALL_RATE_LIMIT_PERIOD", "3d")]),
        "FOOTFALL_RATE_LIMIT_PERIOD: 259200s is no quota",
    );
}
