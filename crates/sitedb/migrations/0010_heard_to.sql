-- heard to
-- A neighbour's last change when it connected last: a restored site has heard it out when it applied that.
-- Nothing where the neighbour does not say.
ALTER TABLE site_links ADD COLUMN heard_to {int};
