package CredTest::Prometheus;

# A real Prometheus, which scrapes what a test names, and promtool.

use strict;
use warnings;

use parent 'Exporter';

use HTTP::Tiny ();
use JSON::PP ();
use List::Util ();
use POSIX ();

use CredTest::Process;

our @EXPORT = qw(promtool);

my $Json = JSON::PP->new->utf8;


# whether both programs are there

sub found {
    return !grep {
        my $name = $_;
        !grep { -x "$_/$name" } split /:/, $ENV{PATH};
    } qw(prometheus promtool);
}


# "targets" are "HOST:PORT" of nginxes with the path /metrics, "rules" the text
# of rules; both intervals are the same

sub start {
    my ($class, %args) = @_;

    my $port = free_port();
    my $dir = temp_dir() . "/prometheus-$port";
    my $interval = $args{interval} // '500ms';

    mkdir $dir;
    write_file("$dir/rules.yml", $args{rules});
    write_file("$dir/prometheus.yml", <<"YAML");
global:
  scrape_interval: $interval
  scrape_timeout: $interval
  evaluation_interval: 200ms
rule_files: [rules.yml]
scrape_configs:
  - job_name: cred
    static_configs:
      - targets: [@{[ join ', ', map { "'$_'" } @{ $args{targets} } ]}]
YAML

    my $self = bless {
        url  => "http://127.0.0.1:$port", dir => $dir,
        http => HTTP::Tiny->new(timeout => $CredTest::Process::Patience),
    }, $class;

    $self->{pid} = spawn('prometheus', "prometheus-$port", 'prometheus',
                         "--config.file=$dir/prometheus.yml",
                         "--storage.tsdb.path=$dir/data", '--log.level=warn',
                         "--web.listen-address=127.0.0.1:$port");

    wait_for(sub { $self->{http}->get("$self->{url}/-/ready")->{success} })
        or die "prometheus does not start:\n" . $self->log;

    return $self;
}


sub log { slurp("$_[0]{dir}.log") }


sub stop {
    my ($self) = @_;
    reap(delete $self->{pid}, 'TERM') if $self->{pid};
}


sub api {
    my ($self, $path, %form) = @_;

    my $url = "$self->{url}/api/v1/$path";
    my $got = %form ? $self->{http}->post_form($url, \%form)
                    : $self->{http}->get($url);
    my $is = eval { $Json->decode($got->{content}) };

    die "$path: $got->{status} $got->{content}" unless $got->{success} && $is;

    return $is->{data};
}


# what an expression is just now: { metric => {...}, value => NUMBER } each

sub query {
    my ($self, $expr) = @_;

    utf8::decode($expr);

    return map { { metric => $_->{metric}, value => $_->{value}[1] } }
           @{ $self->api('query', query => $expr)->{result} };
}


# the one value of an expression, or undef

sub value {
    my ($self, $expr) = @_;
    my @all = $self->query($expr);
    return @all == 1 ? $all[0]{value} : undef;
}


# alerts with their labels and annotations; those that fire

sub firing {
    my ($self) = @_;
    return grep { $_->{state} eq 'firing' } @{ $self->api('alerts')->{alerts} };
}


# whether one of this name and of these labels does

sub fires {
    my ($self, $name, %labels) = @_;

    return List::Util::first {
        my $is = $_->{labels};
        $is->{alertname} eq $name
            && !grep { ($is->{$_} // '') ne $labels{$_} } keys %labels;
    } $self->firing;
}


# its exit status and what it said, to both; "input" is what it reads

sub promtool {
    my ($input, @args) = @_;

    my $in = temp_dir() . '/promtool.in';
    my $out = temp_dir() . '/promtool.out';

    write_file($in, $input);

    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        open STDIN, '<', $in;
        open STDOUT, '>', $out;
        open STDERR, '>&', \*STDOUT;
        exec 'promtool', @args or POSIX::_exit(1);
    }

    waitpid $pid, 0;

    return ($?, slurp($out));
}


sub write_file {
    my ($file, $text) = @_;
    open my $out, '>:raw', $file or die "$file: $!";
    print $out $text // '';
    close $out or die "$file: $!";
}


1;
