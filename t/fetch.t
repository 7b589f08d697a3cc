# util/fetch, with an archive that has what a test says.

use strict;
use warnings;

use Cwd ();
use File::Temp ();
use Test::More;

my $dir = File::Temp::tempdir(CLEANUP => 1);
my $fetch = Cwd::abs_path('util/fetch');

# "targets" are the machine's sources, "there" has lines of a suite and what it
# lists, "lost" what its mirror has not

my $apt = <<'END';
#!/usr/bin/perl

my ($dir) = $0 =~ m{(.*)/};
my ($tool) = $0 =~ m{([^/]+)$};
my ($list) = "@ARGV" =~ m{Dir::Etc::SourceList=(\S+)};
my ($verb, $what) = grep { /^[a-z]/ && !/=\// } map { s/^-.*//r } @ARGV;

sub lines { open my $in, '<', $_[0] or return; map { s/\n//r } <$in> }

if ($verb eq 'indextargets') {
    print "$_\n" for lines("$dir/targets");
    exit;
}

my @suites = map { / (\S+) main$/ ? $1 : () } lines($list);

open my $log, '>>', "$dir/log";
print $log join(' ', $verb eq 'update' ? @suites : $what), "\n"
    if $tool eq 'apt-get';
exit 100 if $verb eq 'update' && !@suites;

my %lost = map { $_ => 1 } lines("$dir/lost");
my @there = map { my $suite = $_; map { /^\Q$suite\E (.*)/ } lines("$dir/there") }
            @suites;

if ($tool eq 'apt-cache') {
    print "Package: nginx\nVersion: $_\n\n" for @there;
    exit;
}

exit if $verb eq 'update';

for (grep { !$lost{$_} } @there) {
    next if $verb eq 'source' && $what ne "nginx=$_";
    open my $out, '>', $_;
    exit;
}

print STDERR "E: Unable to fetch $what\n";
exit 100;
END

write_file($_, $apt) for qw(apt-get apt-cache);
write_file('dpkg-query', "#!/bin/sh\ncat \"\${0%/*}/installed\"\n");
chmod 0755, "$dir/$_" or die $! for qw(apt-get apt-cache dpkg-query);

sub write_file {
    my ($name, $text) = @_;
    open my $out, '>', "$dir/$name" or die $!;
    print $out $text;
}

sub slurp {
    open my $in, '<', $_[0] or return '';
    local $/;
    return scalar(<$in>) // '';
}

# what came, in how many steps, and what was said

sub fetched {
    my ($type, $package, %archive) = @_;

    write_file($_, join '', map { "$_\n" } @{ $archive{$_} || [] })
        for qw(targets there lost);
    write_file('installed', $archive{installed} // '');
    unlink "$dir/log";

    my $into = File::Temp->newdir;

    local $ENV{PATH} = "$dir:$ENV{PATH}";
    my $text = `$fetch $type $package $into 2>&1`;

    return ($? >> 8, join(' ', map { s{.*/}{}r } glob "$into/*"), $text,
            slurp("$dir/log"));
}

my @bookworm = map { "Debian main http://m/$_" }
               'debian/ bookworm', 'security/ bookworm-security';

my ($status, $what, $text, $log);


# sources: what is installed, then what else there is, then other suites

my @there = ('bookworm 1-9', 'bookworm-security 1-11', 'stable 2-7', 'stable 2-1');

(undef, $what) = fetched('deb-src', 'nginx', installed => '1-9',
                         targets => \@bookworm, there => \@there);
is($what, '1-9', 'what is installed, though there is a newer one');

(undef, $what, $text) = fetched('deb-src', 'nginx', installed => '1-11',
                                targets => \@bookworm, there => \@there);
is($what, '1-11', 'what is installed, from security');
unlike($text, qr/took/, 'no more to say');

($status, $what, $text) = fetched('deb-src', 'nginx', installed => '1-11',
                                  targets => \@bookworm, there => \@there,
                                  lost => ['1-11']);
is("$status $what", '0 1-9', 'the one that is not lost');
like($text, qr/no source of nginx 1-11, took 1-9$/m, 'and it says so');

(undef, $what) = fetched('deb-src', 'nginx', targets => \@bookworm,
                         there => \@there);
is($what, '1-11', 'the newest where none is installed');

(undef, $what, undef, $log) = fetched('deb-src', 'nginx', installed => '1-11',
    targets => \@bookworm, there => \@there, lost => ['1-11', '1-9', '2-7']);
is($what, '2-1', 'of another suite');
like($log, qr/^unstable unstable\n.*^stable stable\n/ms, 'from the same mirrors');

($status, $what, $text) = fetched('deb-src', 'nginx', installed => '1-11',
                                  targets => \@bookworm);
is("$status $what", '1 ', 'none at all');
like($text, qr/no suite of the archive has nginx$/m, 'and it says so');


# packages: of the machine's own suite, whatever it calls it

(undef, $what, undef, $log) = fetched('deb', 'test-nginx',
    targets => ["Debian main http://m/debian/ $_"], there => ["$_ 1"])
    and is("$what $log", "1 $_\ntest-nginx\n", "of $_")
    for qw(sid stable testing forky);

(undef, $what) = fetched('deb', 'test-nginx', targets => \@bookworm,
                         there => ['unstable 3', 'testing 2']);
is($what, 3, 'of the newest');

(undef, $what) = fetched('deb', 'test-nginx', targets => \@bookworm,
                         there => ['unstable 3', 'testing 2'], lost => [3]);
is($what, 2, 'of the next one, if a mirror has lost it');


# only of Debian

($status, undef, $text, $log) = fetched('deb', 'test-nginx',
    targets => ['Other main http://o/ any', 'Debian contrib http://m/debian/ sid'],
    there => ['any 1', 'sid 1']);
is($status, 1, 'no source of Debian');
like($text, qr/no source of Debian's main in/, 'and it says so');

done_testing();
