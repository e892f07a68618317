# Receives COUNT datagrams on a kernel socket, says "ready" before and prints their lengths; makes a file of that name then.
# perl udp-sink.pl ADDRESS PORT COUNT FILE
use strict;
use warnings;
use Socket;

my ($address, $port, $count, $file) = @ARGV;
alarm(60);
$| = 1;
socket(my $socket, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
bind($socket, pack_sockaddr_in($port, inet_aton($address))) or die "bind: $!";
print "ready\n";
my @lengths;
while (@lengths < $count) {
  defined recv($socket, my $part, 65536, 0) or die "recv: $!";
  die 'changed after it was sent' if $part =~ /b/;
  push @lengths, length $part;
}
print "@lengths\n";
open(my $made, '>', $file) or die "$file: $!";
