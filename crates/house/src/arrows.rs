//! Circles in a graph.

use std::collections::{BTreeMap, BTreeSet};

/// Returns the nodes that one leads to.
pub fn reached<N: Ord + Clone>(start: &N, arrows: &BTreeSet<(N, N)>) -> BTreeSet<N> {
    let mut next: BTreeMap<&N, Vec<&N>> = BTreeMap::new();
    for (from, to) in arrows {
        next.entry(from).or_default().push(to);
    }
    let (mut reached, mut open) = (BTreeSet::new(), vec![start]);
    while let Some(node) = open.pop() {
        let more = next.get(node).into_iter().flatten().filter(|to| reached.insert((**to).clone()));
        open.extend(more.copied());
    }
    reached
}

/// Finds the circles: sets of nodes of which each leads to all others.
pub fn circles<N: Ord + Clone>(arrows: &BTreeSet<(N, N)>) -> Vec<BTreeSet<N>> {
    let nodes: BTreeSet<&N> = arrows.iter().map(|(from, _)| from).collect();
    let all: BTreeMap<&N, BTreeSet<N>> = nodes.iter().map(|node| (*node, reached(*node, arrows))).collect();
    let mut circles: BTreeSet<BTreeSet<N>> = BTreeSet::new();
    for (node, reached) in &all {
        let leads_back = |to: &&N| all.get(*to).is_some_and(|reached| reached.contains(*node));
        let circle: BTreeSet<N> = reached.iter().filter(leads_back).cloned().collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_whole() {
        let arrows = BTreeSet::from([(1, 2), (2, 3), (3, 1), (3, 4), (4, 5), (5, 4), (5, 6), (0, 1)]);
        assert_eq!(reached(&3, &arrows), BTreeSet::from([1, 2, 3, 4, 5, 6]));
        assert_eq!(reached(&4, &arrows), BTreeSet::from([4, 5, 6]));
        assert_eq!(circles(&arrows), [BTreeSet::from([1, 2, 3]), BTreeSet::from([4, 5])]);
        assert_eq!(circles(&BTreeSet::from([(1, 2), (1, 3), (2, 3)])), []);
    }
}
