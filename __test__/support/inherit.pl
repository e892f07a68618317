# Opens a TUN or TAP with addresses in this namespace, and runs a program in another with its descriptor:
# perl inherit.pl tun|tap NAME PROGRAM ARGUMENTS.. ; the program finds the descriptor's number in TUN_FD.
use strict;
my ($kind, $name, @program) = @ARGV;
# Beyond this, descriptors are closed on exec.
$^F = 100;
sysopen(my $tun, '/dev/net/tun', 2) or die "open: $!";
# IFF_TUN or IFF_TAP, IFF_NO_PI and, for a TAP, IFF_VNET_HDR.
my $flags = $kind eq 'tap' ? 0x5002 : 0x1001;
ioctl($tun, 0x400454ca, pack('a16 S x22', $name, $flags)) or die "TUNSETIFF: $!";
system('ip', 'address', 'add', '198.18.0.1/24', 'dev', $name) == 0 or die;
system('ip', 'address', 'add', 'fd00::1/64', 'dev', $name, 'nodad') == 0 or die;
system('ip', 'link', 'set', $name, 'up') == 0 or die;
$ENV{TUN_FD} = fileno($tun);
my $child = fork();
if ($child == 0) { exec('unshare', '--net', @program) or die "exec: $!"; }
# Its own copy goes: the child's is all there is.
close($tun);
waitpid($child, 0);
exit($? >> 8);
