package Chaos::Process;

# Processes, each server and its children in a process group of their own.

use strict;
use warnings;

use parent 'Exporter';

use File::Temp ();
use POSIX ();
use Time::HiRes ();

use CredTest::Port;

our @EXPORT = qw(temp_dir free_port wait_for slurp);

my $Dir = File::Temp::tempdir('cred-chaos-XXXXXX', TMPDIR => 1);
my %Group;

# as in t/lib/CredTest.pm

my $Patience = $ENV{CRED_PATIENCE} || 30;

chmod 0755, $Dir;


sub temp_dir { $Dir }


# returns its pid, which is the id of its group as well

sub spawn {
    my ($name, @command) = @_;

    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        setpgrp 0, 0;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$Dir/$name.log";
        open STDERR, '>&', \*STDOUT;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE ALRM);
        exec @command or POSIX::_exit(1);
    }

    $Group{$pid} = 1;
    return $pid;
}


# what makes itself the leader of a group

sub adopt { $Group{$_[0]} = 1 }


# pairs of a process and its parent

sub members {
    my ($group) = @_;

    return map {
        my ($pid, $state, $parent, $its) =
            slurp($_) =~ /^(\d+) \(.*\) (\S) (\d+) (\d+)/s;
        defined $its && $its == $group && $state !~ /[ZX]/
            ? ($pid => $parent) : ();
    } glob '/proc/[0-9]*/stat';
}


# what it forks meanwhile is killed as well

sub kill_group {
    my ($group) = @_;

    return unless delete $Group{$group};

    wait_for(sub {
        my %members = members($group);
        kill 'KILL', keys %members;
        waitpid $group, POSIX::WNOHANG();
        return !%members;
    }) or warn "process group $group does not end\n";
}


sub kill_all {
    kill_group($_) for keys %Group;
}


sub wait_for {
    my ($condition, $seconds) = @_;

    my $end = Time::HiRes::time() + ($seconds // $Patience);

    while (1) {
        my $result = $condition->();
        return $result if $result;
        return '' if Time::HiRes::time() > $end;
        Time::HiRes::sleep(0.01);
    }
}


sub slurp {
    open my $in, '<:raw', $_[0] or return '';
    local $/;
    return scalar(<$in>) // '';
}


1;
