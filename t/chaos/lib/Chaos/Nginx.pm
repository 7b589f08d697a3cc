package Chaos::Nginx;

# nginx instances that run the module.

use strict;
use warnings;

use parent 'Exporter';

use Cwd ();
use File::Basename ();

use Chaos::Process;

our @EXPORT = qw(nginx gateway nginx_start alerts);

my $Root = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../../../..');
my @Known;


sub set_up {

    # as in t/lib/CredTest.pm

    $ENV{ASAN_OPTIONS} = 'detect_odr_violation=0,'
                         . 'detect_stack_use_after_return=1';
    $ENV{UBSAN_OPTIONS} = "print_stacktrace=1,"
                          . "suppressions=$Root/t/lib/ubsan.supp";
    $ENV{PATH} .= ':/usr/sbin:/sbin';
}


sub nginx {
    my ($name, $registry, %args) = @_;

    my $dir = temp_dir() . "/$name";

    mkdir $dir;

    my $self = bless {
        name     => $name,
        dir      => $dir,
        port     => free_port(),
        registry => $registry,
        args     => { workers => 2, main => '', http => '', connect => '3s',
                      command => '3s', cascade => '1s', lease => '1s',
                      zone => '16m', %args },
    };

    push @Known, $self;

    $self->configure;
    return $self;
}


# one that serves what needs a key of this environment

sub gateway {
    my ($name, $environment, %args) = @_;
    return nginx($name, undef, environment => $environment, %args);
}


# what a Redis takes on a busy machine is no fault, unless a program says so

sub configure {
    my ($self, %args) = @_;

    my %conf = (%{ $self->{args} }, %args);
    my $environment = $conf{environment};
    my $module = $ENV{CRED_MODULE} || "$Root/build/ngx_cred_module.so";
    my $user = $> == 0 ? 'user nobody nogroup;' : '';
    my $use = $ENV{TEST_NGINX_EVENT_TYPE} ? "use $ENV{TEST_NGINX_EVENT_TYPE};" : '';
    my $paths = join "\n", map { "    ${_}_temp_path $self->{dir}/$_;" }
                qw(client_body proxy fastcgi uwsgi scgi);

    open my $out, '>', "$self->{dir}/nginx.conf" or die $!;
    my $http = $environment ? <<"END" : <<"END";
    cred_environment @{[ $environment->url ]};
    cred_access_lease $conf{lease};
    cred_access_zone access $conf{zone};
    cred_access_valid 1m missing=1s;
END
    cred_registry @{[ $self->{registry}->url ]};
    cred_cascade_timeout $conf{cascade};
    cred_retry_delay 100ms 1s;
END

    my $location = $environment ? 'cred_access apinizer; empty_gif;'
                                : "cred_delete apinizer; root $self->{dir};";

    print $out <<"END";
load_module $module;
daemon on;
$user
worker_processes $conf{workers};
pid $self->{dir}/nginx.pid;
error_log $self->{dir}/error.log notice;
env ASAN_OPTIONS;
env UBSAN_OPTIONS;
$conf{main}

events {
    $use
    worker_connections 1024;
}

http {
    access_log off;
$paths

    cred_connect_timeout $conf{connect};
    cred_command_timeout $conf{command};
$http$conf{http}

    server {
        listen 127.0.0.1:$self->{port};

        location / {
            $location
        }
    }
}
END
}


# by its full name, or it could not upgrade itself

sub command {
    my ($self, @args) = @_;

    my ($binary) = grep { -x } $ENV{CRED_NGINX} || (),
                               map { "$_/nginx" } split /:/, $ENV{PATH};

    return ($binary // 'nginx', '-e', "$self->{dir}/error.log",
            '-p', $self->{dir}, '-c', "$self->{dir}/nginx.conf", @args);
}


# what "nginx -t" prints, and its status

sub test {
    my ($self) = @_;

    # it frees nothing

    local $ENV{LSAN_OPTIONS} = 'detect_leaks=0';
    local $/;

    open my $out, '-|', join ' ', $self->command('-t'), '2>&1' or die $!;
    my $text = <$out>;
    close $out;
    return ($text, $?);
}


# it is a daemon, since others do not heed SIGWINCH

sub start {
    my ($self) = @_;

    return if $self->{group};

    unlink "$self->{dir}/nginx.pid";

    my $pid = Chaos::Process::spawn($self->{name}, $self->command);

    waitpid $pid, 0;

    # its id is in the file before it leads a group of its own

    my $master;

    if ($? == 0) {
        wait_for(sub {
            my %members = Chaos::Process::members($master = $self->master // 0);
            return exists $members{$master};
        }) or $master = undef;
    }

    Chaos::Process::kill_group($pid);

    die "$self->{name} does not start:\n" . $self->log unless $master;

    $self->{group} = $master;
    Chaos::Process::adopt($master);
}


# a master must know all of its workers before these can be killed one by one

sub ready {
    my ($self) = @_;
    return $self->workers == $self->{args}{workers};
}


sub nginx_start {
    for my $nginx (@_) {
        $nginx->start;
        wait_for(sub { $nginx->ready })
            or die "$nginx->{name} does not start:\n" . $nginx->log;
    }
}


# with the workers that outlive their master

sub kill {
    my ($self, @pids) = @_;

    if (@pids) {
        CORE::kill('KILL', @pids);

    } elsif ($self->{group}) {
        Chaos::Process::kill_group(delete $self->{group});
    }
}


# all of its processes

sub stop {
    my ($self) = @_;
    my %processes = $self->processes;
    CORE::kill('STOP', @{ $self->{stopped} = [ sort keys %processes ] });
}

sub cont { CORE::kill('CONT', @{ $_[0]{stopped} }) }


# with the configuration of now; returns what tells whether it is in effect

sub reload {
    my ($self) = @_;

    my %old = map { $_ => 1 } $self->workers;

    $self->configure;
    $self->signal('HUP');

    return sub {
        return $self->{args}{workers} == grep { !$old{$_} } $self->workers;
    };
}


sub master {
    my ($self) = @_;
    my ($pid) = slurp("$self->{dir}/nginx.pid") =~ /(\d+)/;
    return $pid;
}


sub signal {
    my ($self, $signal, $pid) = @_;
    CORE::kill($signal, $pid // $self->master);
}


sub processes {
    my ($self) = @_;
    return unless $self->{group};
    return Chaos::Process::members($self->{group});
}


sub workers {
    my ($self, $master) = @_;

    my %parent = $self->processes;
    $master //= $self->master // 0;

    return grep { $parent{$_} == $master } keys %parent;
}


# tells whether all of its processes left when they were told to

sub quit {
    my ($self, $seconds) = @_;

    my $master = $self->master;

    $self->signal('QUIT');
    my $left = wait_for(sub { !(() = $self->processes) }, $seconds);
    $self->kill;

    return $left;
}


sub log {
    my ($self) = @_;
    return slurp("$self->{dir}/error.log")
           . slurp(temp_dir() . "/$self->{name}.log");
}


# what must be in no error log; "allowed" is a regular expression

sub alerts {
    my ($allowed) = @_;

    my @alerts;

    for my $nginx (@Known) {
        push @alerts, grep { !defined $allowed || $_ !~ $allowed }
                      $nginx->log =~ m{^( .* (?: \[(?:alert|emerg|crit)\]
                                              | exited\ on\ signal
                                              | open\ socket\ \#
                                              | runtime\ error:
                                              | ERROR:\ \w+Sanitizer ) .* )$}xmg;
    }

    return @alerts;
}


set_up();

1;
