//! What the summary says of the loop, for people.

use super::scores::{Average, BUCKET, Learning, RUNNING};
use super::words::{count, ms};

impl Learning {
    pub(super) fn text(&self) -> String {
        let mut out = format!(
            "\n{:<26}{:>10}{:>9}{:>11}{:>9}{:>10}\n",
            "average reward", "decisions", "decided", "at random", "best", "captured"
        );
        let few = format!("first {}", BUCKET * RUNNING as u64);
        let rows = [
            (few.as_str(), self.beginning),
            ("before tastes changed", self.before_drift.filter(|_| self.after_drift.is_some())),
            ("right after", self.after_drift),
            ("last quarter", self.last_quarter),
        ];
        rows.into_iter().filter_map(|(name, average)| Some(row(name, average?))).for_each(|row| out += &row);
        out += &match (self.after_drift, self.recovered_after) {
            (None, _) => "tastes had not changed yet\n".to_string(),
            (Some(_), Some(decisions)) => {
                format!("90 % of the level before was reached again {} decisions after the change\n", count(decisions))
            }
            (Some(_), None) => "90 % of the level before was not reached again\n".to_string(),
        };
        out + &self.account()
    }

    fn account(&self) -> String {
        let counts = &self.counts;
        let [asked, decided, played, clicked, away, ignored] =
            [counts.asked, counts.decisions(), counts.played, counts.clicked, counts.sent_away, counts.ignored]
                .map(count);
        let mut out = format!(
            "\n{asked} questions, {decided} decisions: {played} played, {clicked} only clicked, {away} sent away, {ignored} ignored"
        );
        if counts.refused > 0 {
            out += &format!("; {} REFUSED", count(counts.refused));
        }
        let [decisions, rewards] = [self.server.decisions, self.server.rewards].map(count);
        let average = self.server.average.map_or("-".into(), |average| format!("{average:.4}"));
        out += &format!("\nthe server's books: {decisions} decisions, {rewards} rewards, on average {average}; ");
        out += &match self.adds_up() {
            true => format!("the guests': {:.4}\n", self.average),
            false => format!("the guests': {:.4}: THIS DOES NOT ADD UP\n", self.average),
        };
        let [rank, learnt] = [&self.rank, &self.reward_to_model].map(|l| (ms(l.p50_us), ms(l.p99_us)));
        out += &format!("rank p50 {}, p99 {}", rank.0, rank.1);
        if self.reward_to_model.events > 0 {
            out += &format!("; reward sent → in a model version p50 {}, p99 {}", learnt.0, learnt.1);
        }
        out + "\n"
    }
}

fn row(name: &str, average: Average) -> String {
    let Average { decisions, reward, uniform, best, captured } = average;
    format!("{name:<26}{:>10}{reward:>9.3}{uniform:>11.3}{best:>9.3}{:>8.0} %\n", count(decisions), 100.0 * captured)
}
