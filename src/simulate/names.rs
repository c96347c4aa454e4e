//! What things are called in the simulated world: repositories, people, branches, commit titles, runners, jobs and steps.
//! Only words, no behaviour.

/// A repository of the simulated GitHub: owner, name, language, description.
pub const GITHUB_REPOSITORIES: &[[&str; 4]] = &[
    ["acme", "rocket", "Rust", "Flight software and ground control"],
    ["acme", "orbit-web", "TypeScript", "The console of mission control"],
    ["lantern", "payments", "Go", "Money in, money out, and the ledger between"],
    ["lantern", "mobile", "Kotlin", "The Lantern apps"],
    ["acme", "telemetry", "Rust", "Collects what the rockets say"],
    ["riverside", "search-api", "Java", "Full-text search over the catalogue"],
    ["riverside", "docs", "MDX", "Handbook and API reference"],
    ["lantern", "notifier", "Elixir", "Mail, push and text messages"],
];

/// A project of the simulated GitLab: namespace, name, language, description.
pub const GITLAB_PROJECTS: &[[&str; 4]] = &[
    ["platform", "gateway", "Go", "统一接入网关"],
    ["platform", "identity", "Java", "Accounts, sessions and keys"],
    ["data", "feature-store", "Python", "特征平台"],
    ["apps", "storefront", "Vue", "商城前端"],
    ["infra", "clusters", "HCL", "Every cluster as code"],
    ["data", "warehouse", "SQL", "Nightly models and their tests"],
    ["apps", "logistics", "C#", "仓储与配送"],
    ["tools", "release-train", "Rust", "Leaves every Tuesday"],
];

/// Login and full name.
pub const PEOPLE: &[[&str; 2]] = &[
    ["mira", "Mira Okafor"],
    ["jonas", "Jonas Lindqvist"],
    ["xiaolan", "陈晓岚"],
    ["dev-arjun", "Arjun Rao"],
    ["liwei", "李伟"],
    ["sofia-m", "Sofia Marques"],
    ["tomasz", "Tomasz Zielak"],
    ["zhaoyang", "赵阳"],
    ["hana", "Hana Sato"],
    ["rook-bot", "Rook"],
];

/// Branches that people work on.
pub const BRANCHES: &[&str] = &[
    "feature/retry-budget",
    "fix/clock-skew",
    "feature/dark-mode",
    "chore/upgrade-toolchain",
    "feature/order-export",
    "fix/memory-leak",
    "perf/batch-inserts",
    "feature/sso",
    "fix/flaky-login-test",
    "refactor/config-loader",
];

/// First lines of commits.
pub const TITLES: &[&str] = &[
    "Retry the upload when the peer resets the connection",
    "修复订单导出时的时区错误",
    "Drop support for the old ledger format",
    "Make the health check answer while draining",
    "新增发布流水线的灰度开关",
    "Bound the queue of pending notifications",
    "Fix a crash on an empty search query",
    "优化首页首屏加载时间",
    "Upgrade the toolchain",
    "Teach the parser about trailing commas",
    "升级数据库驱动并补充回归测试",
    "Cache compiled templates",
    "Show the build number in the footer",
    "重构登录模块，移除重复代码",
    "Refuse tokens that were issued in the future",
    "Stop logging request bodies",
    "Split the nightly job in two",
    "修正内存泄漏",
    "Explain how to run the tests without a network",
    "Count retries by reason",
];

/// Machines at the simulated GitHub.
pub const GITHUB_RUNNERS: &[&str] = &[
    "GitHub Actions 2",
    "GitHub Actions 7",
    "GitHub Actions 11",
    "arm-builder-1",
    "arm-builder-2",
    "mac-mini-3",
];

/// Machines at the simulated GitLab.
pub const GITLAB_RUNNERS: &[&str] = &[
    "docker-shared-1",
    "docker-shared-2",
    "k8s-build-pool",
    "gpu-box",
    "上海-构建机-01",
    "windows-2025",
];

/// What holds a job back before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing.
    Open,
    /// A human has to start or approve it.
    Human,
    /// A timer.
    Timer,
}

/// A job of a definition.
#[derive(Clone, Copy, Debug)]
pub struct JobPlan {
    /// Name.
    pub name: &'static str,
    /// Which stage it is in: an index into the stages. Jobs of a stage run side by side, stages one after another.
    pub stage: usize,
    /// How long it takes in reality, in seconds, more or less.
    pub seconds: f64,
    /// Steps between setting up and cleaning up.
    pub steps: &'static [&'static str],
    /// Its failure leaves the run good.
    pub allow_failure: bool,
    /// What holds it back.
    pub gate: Gate,
    /// Where it deploys to.
    pub environment: Option<&'static str>,
}

const fn job(name: &'static str, stage: usize, seconds: f64, steps: &'static [&'static str]) -> JobPlan {
    JobPlan {
        name,
        stage,
        seconds,
        steps,
        allow_failure: false,
        gate: Gate::Open,
        environment: None,
    }
}

const fn tolerated(plan: JobPlan) -> JobPlan {
    JobPlan { allow_failure: true, ..plan }
}

const fn deploys(plan: JobPlan, environment: &'static str, gate: Gate) -> JobPlan {
    JobPlan {
        gate,
        environment: Some(environment),
        ..plan
    }
}

/// When a workflow runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// On every push and pull request.
    Change,
    /// On pushes to the default branch.
    Merge,
    /// By the clock.
    Schedule,
}

/// What a repository runs: its name, its file, its trigger, its stages and its jobs.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Name.
    pub name: &'static str,
    /// Path in the repository.
    pub path: &'static str,
    /// When it runs.
    pub trigger: Trigger,
    /// Names of the stages.
    pub stages: &'static [&'static str],
    /// Its jobs, by stage.
    pub jobs: &'static [JobPlan],
}

const CHECKOUT: &str = "Run actions/checkout@v5";

/// Workflows of the simulated GitHub; a repository has the first one to four of them.
pub const WORKFLOWS: &[Plan] = &[
    Plan {
        name: "CI",
        path: ".github/workflows/ci.yml",
        trigger: Trigger::Change,
        stages: &["check", "test", "build"],
        jobs: &[
            job("lint", 0, 45.0, &[CHECKOUT, "Install toolchain", "Check formatting", "Lint"]),
            job(
                "test (ubuntu)",
                1,
                150.0,
                &[CHECKOUT, "Restore cache", "Build tests", "Run tests", "Upload coverage"],
            ),
            job("test (macos)", 1, 190.0, &[CHECKOUT, "Restore cache", "Build tests", "Run tests"]),
            job("test (windows)", 1, 220.0, &[CHECKOUT, "Restore cache", "Build tests", "Run tests"]),
            job("build", 2, 100.0, &[CHECKOUT, "Restore cache", "Build release", "Upload artifact"]),
        ],
    },
    Plan {
        name: "Release",
        path: ".github/workflows/release.yml",
        trigger: Trigger::Merge,
        stages: &["package", "deploy"],
        jobs: &[
            job("package", 0, 90.0, &[CHECKOUT, "Log in to registry", "Build image", "Push image", "Sign image"]),
            deploys(
                job("deploy to staging", 1, 60.0, &["Fetch manifest", "Apply", "Wait for rollout"]),
                "staging",
                Gate::Open,
            ),
            deploys(
                job("deploy to production", 1, 80.0, &["Fetch manifest", "Apply", "Wait for rollout", "Smoke test"]),
                "production",
                Gate::Human,
            ),
        ],
    },
    Plan {
        name: "Code scanning",
        path: ".github/workflows/scan.yml",
        trigger: Trigger::Change,
        stages: &["scan"],
        jobs: &[
            job("analyze", 0, 200.0, &[CHECKOUT, "Prepare database", "Build", "Analyze", "Upload findings"]),
            tolerated(job("audit dependencies", 0, 40.0, &[CHECKOUT, "Audit"])),
        ],
    },
    Plan {
        name: "Nightly",
        path: ".github/workflows/nightly.yml",
        trigger: Trigger::Schedule,
        stages: &["end to end", "report"],
        jobs: &[
            job(
                "end to end (chromium)",
                0,
                260.0,
                &[CHECKOUT, "Start services", "Run browser tests", "Collect screenshots"],
            ),
            job(
                "end to end (firefox)",
                0,
                280.0,
                &[CHECKOUT, "Start services", "Run browser tests", "Collect screenshots"],
            ),
            job("report", 1, 20.0, &["Download results", "Write summary"]),
        ],
    },
];

/// CI definitions of the simulated GitLab; a project has one of them.
pub const GITLAB_PLANS: &[Plan] = &[
    Plan {
        name: "service",
        path: ".gitlab-ci.yml",
        trigger: Trigger::Change,
        stages: &["build", "test", "scan", "deploy"],
        jobs: &[
            job("compile", 0, 90.0, &[]),
            job("unit-tests", 1, 120.0, &[]),
            job("integration-tests", 1, 180.0, &[]),
            tolerated(job("license-scan", 2, 40.0, &[])),
            job("container-scan", 2, 60.0, &[]),
            deploys(job("staging", 3, 50.0, &[]), "staging", Gate::Open),
        ],
    },
    Plan {
        name: "library",
        path: ".gitlab-ci.yml",
        trigger: Trigger::Change,
        stages: &["check", "test"],
        jobs: &[
            job("format", 0, 20.0, &[]),
            job("typecheck", 0, 60.0, &[]),
            job("test: [3.12]", 1, 110.0, &[]),
            job("test: [3.14]", 1, 120.0, &[]),
        ],
    },
    Plan {
        name: "gated",
        path: ".gitlab-ci.yml",
        trigger: Trigger::Change,
        stages: &["build", "test", "deploy"],
        jobs: &[
            job("bundle", 0, 80.0, &[]),
            job("单元测试", 1, 100.0, &[]),
            job("e2e", 1, 200.0, &[]),
            deploys(job("production", 2, 60.0, &[]), "production", Gate::Human),
        ],
    },
    Plan {
        name: "rollout",
        path: "ci/pipeline.yml",
        trigger: Trigger::Change,
        stages: &["plan", "apply", "verify"],
        jobs: &[
            job("plan", 0, 50.0, &[]),
            deploys(job("apply", 1, 120.0, &[]), "canary", Gate::Timer),
            job("verify", 2, 40.0, &[]),
        ],
    },
];
