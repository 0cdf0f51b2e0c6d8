//! A list of those that are shut out counts until there is a newer one, and never again after that (G15): whoever brings
//! an older one, to a daemon or in its own state, lets nobody in by it.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::link::ControlMessage;
use proto::record::{CarriedRecord, Revocations};
use referee::hosts::{Host, copy_folder, until};
use referee::members::{all_are_linked, authority, lets_in, mesh, peers, said};
use referee::peer::Peer;

const SOON: Duration = Duration::from_secs(30);

fn epoch(host: &Host) -> u64 {
    peers(host)["epoch"].as_u64().expect("a number")
}

fn revoked(host: &Host) -> usize {
    peers(host)["revoked"].as_array().expect("a list").len()
}

/// Shuts a node out, and gives the list that says so, as the daemon keeps it.
fn revoke(host: &Host, peer: &Peer) -> CarriedRecord {
    said(&host.ctl(&["revoke", &peer.id().to_string(), "--yes"]));
    let list = fs::read(host.state().join("mesh/revoked")).expect("a list");
    CarriedRecord::read(Bytes::from(list)).expect("a record")
}

async fn is_let_in(host: &Host, peer: &Peer) -> bool {
    lets_in(host, &Arc::clone(peer.key()), peer.certificate()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_list_changes_nothing_and_whoever_brings_it_is_shown_the_newer_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut alpha = mesh(folder.path(), &["alpha"]).remove(0);
    let authority = authority(&alpha);
    let [first, second, carrier] = ["first", "second", "carrier"].map(|name| Peer::enrolled(name, &authority));
    let old = revoke(&alpha, &first);
    assert!(is_let_in(&alpha, &second).await, "the old list knows nothing of it");
    let new = revoke(&alpha, &second);
    let newest = Revocations::read(new.body()).expect("a list");
    assert_eq!((epoch(&alpha), revoked(&alpha)), (newest.epoch, 2));
    for _ in 0..2 {
        let mut link = carrier.dial(&alpha).await;
        until("it is told who is out", SOON, || (!link.lists().is_empty()).then_some(()));
        // It hears no more than one list a second, so it says it again until it is answered.
        for _ in 0..100 {
            link.say(&ControlMessage::Record(old.clone())).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            if link.lists().len() > 1 {
                break;
            }
        }
        let heard = link.lists();
        assert!(heard.len() > 1 && heard.iter().all(|list| *list == newest), "{heard:?}");
        assert_eq!((epoch(&alpha), revoked(&alpha)), (newest.epoch, 2));
        assert!(!is_let_in(&alpha, &second).await && !is_let_in(&alpha, &first).await);
        // And after a restart, with what it has kept.
        drop(link);
        alpha.stop();
        alpha.start();
        assert_eq!((epoch(&alpha), revoked(&alpha)), (newest.epoch, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_back_with_its_old_state_brings_nobody_back_and_learns_who_is_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hosts = mesh(folder.path(), &["alpha", "beta"]);
    all_are_linked(&hosts);
    let authority = authority(&hosts[0]);
    let [first, second] = ["first", "second"].map(|name| Peer::enrolled(name, &authority));
    revoke(&hosts[0], &first);
    let old = epoch(&hosts[0]);
    until("beta knows the first list", SOON, || (epoch(&hosts[1]) == old).then_some(()));
    assert!(hosts[1].stop().success());
    let (mesh_folder, copy) = (hosts[1].state().join("mesh"), folder.path().join("copy"));
    copy_folder(&mesh_folder, &copy);
    hosts[1].start();
    revoke(&hosts[0], &second);
    let new = epoch(&hosts[0]);
    until("beta knows the second list", SOON, || (epoch(&hosts[1]) == new).then_some(()));
    assert!(hosts[1].stop().success());
    assert!(hosts[0].stop().success());
    copy_folder(&copy, &mesh_folder);
    hosts[1].start();
    // Alone with its old list it lets in whom that does not name.
    assert_eq!((epoch(&hosts[1]), revoked(&hosts[1])), (old, 1));
    let link = second.dial(&hosts[1]).await;
    hosts[0].start();
    until("beta hears who is out", SOON, || (epoch(&hosts[1]) == new && revoked(&hosts[1]) == 2).then_some(()));
    tokio::time::timeout(SOON, link.connection.closed()).await.expect("its link is ended");
    for host in &hosts {
        assert_eq!((epoch(host), revoked(host)), (new, 2), "{}", host.name);
        assert!(!is_let_in(host, &first).await && !is_let_in(host, &second).await, "{}", host.name);
    }
    all_are_linked(&hosts);
}
