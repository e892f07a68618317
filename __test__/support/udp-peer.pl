# Exchanges datagrams with a stack over kernel sockets: sends rounds of them, takes each round back, compares every byte, and
# prints what it saw. perl udp-peer.pl ADDRESS PORT SIZE COUNT LAST ROUNDS SEGMENT GRO
# A round is COUNT datagrams of SIZE bytes, the last of LAST. With SEGMENT they are one call (UDP_SEGMENT), which the kernel
# hands on as one packet; with GRO several may be received as one.
use strict;
use warnings;
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6 AF_INET6);

my ($address, $port, $size, $count, $last, $rounds, $segment, $gro) = @ARGV;
my ($udp, $UDP_SEGMENT, $UDP_GRO) = (17, 103, 104);
alarm(60);
my $v6 = $address =~ /:/;
my $to = $v6 ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $address)) : pack_sockaddr_in($port, inet_aton($address));
socket(my $socket, $v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
setsockopt($socket, SOL_SOCKET, SO_RCVBUF, 4 << 20) or die "SO_RCVBUF: $!";
connect($socket, $to) or die "connect: $!";
if ($segment) { setsockopt($socket, $udp, $UDP_SEGMENT, pack('i', $size)) or die "UDP_SEGMENT: $!"; }
if ($gro) { setsockopt($socket, $udp, $UDP_GRO, pack('i', 1)) or die "UDP_GRO: $!"; }
my ($received, $largest) = (0, 0);
for my $round (0 .. $rounds - 1) {
  my @parts = map {
    my $len = $_ == $count - 1 ? $last : $size;
    substr(pack('NNN', $round, $_, $count) . chr(33 + ($round + $_) % 90) x $size, 0, $len);
  } 0 .. $count - 1;
  my $all = join('', @parts);
  for my $part ($segment ? $all : @parts) {
    my $sent = send($socket, $part, 0);
    die "send: $!" unless defined $sent && $sent == length $part;
  }
  my $back = '';
  while (length $back < length $all) {
    defined recv($socket, my $part, 65536, 0) or die "recv: $!";
    die "nothing in it" unless length $part;
    if (!$gro && $part ne $parts[int(length($back) / $size)]) { die "round $round: not one datagram"; }
    $back .= $part;
    $received++;
    $largest = length $part if length $part > $largest;
  }
  die "round $round: other bytes came back" unless $back eq $all;
}
print "$received $largest\n";
