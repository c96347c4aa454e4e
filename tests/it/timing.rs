//! What times tell: a login under a name that exists takes as long as one under a name that does not, and so does a delivery that is not
//! signed with a secret of its source.

use std::time::Instant;

use crate::accounts::log_in;
use crate::app::{ADMIN, TestApp, github, sign_github};

/// Requests of each kind.
const REQUESTS: usize = 2_500;

/// Differences that chance alone hardly ever makes.
const TELLING: f64 = 4.5;

/// What is told by times is told each time; what other programs of the machine do to one of the two is not.
const ROUNDS: usize = 3;

/// Welch's t of two samples.
fn welch(one: &[f64], other: &[f64]) -> f64 {
    let moments = |sample: &[f64]| {
        let count = sample.len() as f64;
        let mean = sample.iter().sum::<f64>() / count;
        let variance = sample.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let ((one_mean, one_error), (other_mean, other_error)) = (moments(one), moments(other));
    (one_mean - other_mean) / (one_error + other_error).sqrt()
}

/// Without the slowest tenth, which is the machine's doing and not the login's.
fn quick(mut sample: Vec<f64>) -> Vec<f64> {
    sample.sort_by(f64::total_cmp);
    sample.truncate(sample.len() * 9 / 10);
    sample
}

#[tokio::test]
async fn a_login_does_not_tell_by_its_time_whether_there_is_such_a_name() {
    let app = TestApp::start_with_admin(|config| config.auth.login_throttle = false).await;
    let timed = async |name: &str| {
        let begun = Instant::now();
        assert_eq!(log_in(&app, name, "wrong horse battery staple").await.status, 401);
        begun.elapsed().as_secs_f64()
    };
    for _ in 0..100 {
        timed(ADMIN).await;
        timed("bob").await;
    }

    tells_nothing(async || timed(ADMIN).await, async || timed("bob").await).await;
}

#[tokio::test]
async fn a_refused_delivery_does_not_tell_by_its_time_whether_there_is_such_a_source() {
    let app = TestApp::start_with(|config| config.webhooks.refusals_per_second = 1).await;
    let wrong = sign_github("not the secret", b"{}");
    let timed = async |path: &str| {
        let request = github("ping", "{}").redirected(path, wrong.clone());
        let begun = Instant::now();
        assert_eq!(app.send(request).await.status, 401);
        begun.elapsed().as_secs_f64()
    };
    for _ in 0..100 {
        timed("/webhooks/github/default").await;
        timed("/webhooks/github/nothing").await;
    }

    tells_nothing(
        async || timed("/webhooks/github/default").await,
        async || timed("/webhooks/github/nothing").await,
    )
    .await;
}

/// Fails where two kinds of requests take different times, in every round.
async fn tells_nothing(one: impl AsyncFn() -> f64, other: impl AsyncFn() -> f64) {
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        // One after the other, and in turns that do not always begin with the same one: what drifts meanwhile drifts for both.
        let (mut ones, mut others) = (Vec::with_capacity(REQUESTS), Vec::with_capacity(REQUESTS));
        for number in 0..REQUESTS {
            if number % 2 == 0 {
                ones.push(one().await);
                others.push(other().await);
            } else {
                others.push(other().await);
                ones.push(one().await);
            }
        }
        let t = welch(&quick(ones), &quick(others));
        println!("t = {t:.2} over {} requests", 2 * REQUESTS);
        if t.abs() < TELLING {
            return;
        }
        found.push(t);
    }
    panic!("t = {found:.2?}, in each of {ROUNDS} rounds of {} requests", 2 * REQUESTS);
}

#[test]
fn the_measure_tells_what_differs_from_what_does_not() {
    let sample = |shift: f64| (0..1_000).map(|number| f64::from(number % 17) + shift).collect::<Vec<_>>();

    assert!(welch(&sample(0.0), &sample(0.0)).abs() < 0.1);
    assert!(welch(&sample(0.0), &sample(2.0)).abs() > TELLING);
}
