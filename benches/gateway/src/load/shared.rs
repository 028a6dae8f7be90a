//! The load of a shared backend.

use super::*;

/// Until those who have just come are served.
const CALM: Duration = Duration::from_millis(20);

/// One client sends, and all get the echo, again and again.
pub(super) fn share(program: &Program, clients: usize, time: Duration) -> io::Result<Sample> {
    let message = wire::client_frame(TEXT, &[b'x'; SMALL]);
    let open = |_| Peer::open(program, Service::Shared);
    let mut peers = (0..clients).map(open).collect::<io::Result<Vec<_>>>()?;
    let mut buffer = vec![0; LARGE];
    let mut round = |peers: &mut [Peer]| -> io::Result<()> {
        peers
            .first_mut()
            .map_or(Ok(()), |first| first.send(&message))?;
        let mut all = peers.iter_mut();
        all.try_for_each(|peer| peer.expect(SMALL as u64, &mut buffer))
    };
    // The last to come may get its 101 before it takes part.
    thread::sleep(CALM);
    round(&mut peers)?;
    let mut done = 0;
    let meter = Meter::start(program)?;
    let end = Instant::now() + time;
    while Instant::now() < end {
        round(&mut peers)?;
        done += 1;
    }
    let sample = meter.stop(f64::from(done))?;
    peers.into_iter().try_for_each(Peer::close)?;
    Ok(sample)
}
