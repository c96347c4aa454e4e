//! Any order and any repetition of the deliveries of an execution comes to the same, and to what the host meant.
//! Knows nothing of single fields: whole folds are compared.

use pipecast_admin::intake::fold::Fold;
use pipecast_admin::intake::understand;
use pipecast_model::{Delivery, Facts, Host};
use proptest::prelude::*;

use crate::lives::{Life, github_life, github_plan, gitlab_life, gitlab_plan, small_github_life, small_gitlab_life};

fn understood(deliveries: &[Delivery]) -> Vec<Facts> {
    deliveries.iter().map(understand).collect()
}

fn fold<'a>(host: Host, facts: impl IntoIterator<Item = &'a Facts>) -> Fold {
    let mut fold = Fold::default();
    facts.into_iter().for_each(|facts| fold.tell((host, "default".to_owned()), facts.clone()));
    fold
}

/// Every item once and some twice, in an order that the seed decides.
fn disordered<T: Clone>(items: &[T], mut seed: u64) -> Vec<T> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let mut items = items.to_vec();
    for _ in 0..next() % (items.len() + 1) {
        let again = items[next() % items.len()].clone();
        items.push(again);
    }
    for end in (1..items.len()).rev() {
        items.swap(end, next() % (end + 1));
    }
    items
}

fn comes_to_what_was_meant(host: Host, life: &Life, seed: u64) -> Result<(), TestCaseError> {
    let facts = understood(&life.deliveries);

    let in_order = fold(host, &facts);
    let otherwise = fold(host, &disordered(&facts, seed));

    prop_assert_eq!(&in_order, &otherwise);
    let project = in_order.projects.values().next().unwrap();
    for (external_id, attempt, meant) in &life.executions {
        prop_assert_eq!(project.status(external_id, *attempt), *meant, "execution {} attempt {}", external_id, attempt);
    }
    for (id, meant) in &life.jobs {
        let job = project.jobs.values().find(|job| job.external_id == *id).unwrap();
        prop_assert_eq!(job.status.get().unwrap().status, *meant, "job {}", id);
    }
    let pipelines = project.pipelines();
    prop_assert_eq!(pipelines.len(), 1);
    prop_assert_eq!(pipelines.values().next().unwrap().status, life.executions.last().unwrap().2);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_github_run_ends_the_same_in_any_order_and_repetition(plan in github_plan(), seed: u64) {
        comes_to_what_was_meant(Host::Github, &github_life(&plan), seed)?;
    }

    #[test]
    fn a_gitlab_pipeline_ends_the_same_in_any_order_and_repetition(plan in gitlab_plan(), seed: u64) {
        comes_to_what_was_meant(Host::Gitlab, &gitlab_life(&plan), seed)?;
    }
}

/// Folds every order of every choice of up to six, and counts them.
fn every_order_of_every_choice(host: Host, facts: &[Facts]) -> usize {
    let mut orders = 0;
    for choice in 0..1_u32 << facts.len() {
        if choice.count_ones() <= 6 {
            let mut chosen: Vec<&Facts> = facts
                .iter()
                .enumerate()
                .filter(|(index, _)| choice & (1 << index) != 0)
                .map(|(_, facts)| facts)
                .collect();
            let in_order = fold(host, chosen.iter().copied());
            permute(&mut chosen, 0, &mut |order| {
                orders += 1;
                assert!(fold(host, order.iter().copied()) == in_order, "choice {choice:b}");
            });
        }
    }
    orders
}

fn permute<'a>(items: &mut Vec<&'a Facts>, from: usize, visit: &mut dyn FnMut(&[&'a Facts])) {
    if from + 1 >= items.len() {
        return visit(items);
    }
    for other in from..items.len() {
        items.swap(from, other);
        permute(items, from + 1, visit);
        items.swap(from, other);
    }
}

#[test]
fn every_order_of_up_to_six_deliveries_of_a_github_run_is_the_same() {
    let life = small_github_life();
    comes_to_what_was_meant(Host::Github, &life, 1).unwrap();

    let orders = every_order_of_every_choice(Host::Github, &understood(&life.deliveries));

    eprintln!("{orders} orders of {} deliveries", life.deliveries.len());
    assert!(orders > 50_000);
}

#[test]
fn every_order_of_up_to_six_deliveries_of_a_gitlab_pipeline_is_the_same() {
    let life = small_gitlab_life();

    let orders = every_order_of_every_choice(Host::Gitlab, &understood(&life.deliveries));

    eprintln!("{orders} orders of {} deliveries", life.deliveries.len());
    assert!(orders > 20_000);
}
